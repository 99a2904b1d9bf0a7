"""Where the things lie that ship with the program: source tree, wheel and frozen binary alike.

And the data folder, once the program knows it.
"""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

FROZEN = bool(getattr(sys, "frozen", False))

# A one-file binary unpacks itself into a folder that only `sys._MEIPASS` names.
ROOT = Path(sys._MEIPASS) if FROZEN else Path(__file__).resolve().parents[2]  # type: ignore[attr-defined]


def _shipped(name: str) -> Path:
    """The folder `name` beside the packages or, in an installed wheel, inside the package."""
    beside = ROOT / name
    return (
        beside
        if FROZEN or (ROOT / "pyproject.toml").is_file()
        else ROOT / "app" / "_shipped" / name
    )


TEMPLATES = _shipped("templates")
STATIC = _shipped("static")
LOCALES = _shipped("locales")
MIGRATIONS = ROOT / "db" / "migrations"


def version() -> str:
    """The version of this program; the source tree asks its own pyproject.toml first."""
    project = ROOT / "pyproject.toml"
    if not FROZEN and project.is_file():
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    return metadata.version("holdfast")


_data: Path | None = None


def use_data(folder: Path) -> None:
    """From now on `data_dir()` is `folder`; said once, when the program is put together."""
    global _data  # noqa: PLW0603 - one process serves one data folder
    _data = folder


def data_dir() -> Path:
    """The folder of the database and of everything people own. RuntimeError before it is known."""
    if _data is None:
        raise RuntimeError("the data folder is not known yet")
    return _data
