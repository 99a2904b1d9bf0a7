"""Where the shipped files lie, in the source tree and when installed without it."""

import shutil
import subprocess
import sys
from pathlib import Path

from app.core import paths


def test_in_the_source_tree_the_folders_lie_beside_the_packages() -> None:
    assert (paths.ROOT / "pyproject.toml").is_file()
    assert paths.TEMPLATES == paths.ROOT / "templates"
    assert paths.MIGRATIONS.is_dir()
    assert any(paths.MIGRATIONS.glob("0001_*.sql"))


def test_the_version_is_the_one_of_the_project() -> None:
    assert f'version = "{paths.version()}"' in (paths.ROOT / "pyproject.toml").read_text()


def test_installed_without_the_tree_the_folders_lie_inside_the_package(tmp_path: Path) -> None:
    (tmp_path / "app" / "core").mkdir(parents=True)
    for name in ("app/__init__.py", "app/core/__init__.py", "app/core/paths.py"):
        shutil.copy(paths.ROOT / name, tmp_path / name)
    code = "from app.core import paths; print(paths.TEMPLATES, paths.MIGRATIONS, sep='\\n')"
    run = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert run.stdout.split() == [
        str(tmp_path / "app" / "_shipped" / "templates"),
        str(tmp_path / "db" / "migrations"),
    ]
