"""A text that does not show itself, those that logs must never print, and values from outside."""

import hmac
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

MASK: Final = "•••"
KEPT: Final = 200
SHORTEST: Final = 4  # anything shorter would blank ordinary words out of every log line

_opened: OrderedDict[str, None] = OrderedDict()


class SecretStr:
    """Holds a secret. Every way of showing it gives `•••`; only `reveal()` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself. Services only, at the last moment."""
        return self._text

    def __repr__(self) -> str:
        return f"SecretStr('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __html__(self) -> NoReturn:
        raise TypeError("a secret does not belong on a page")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretStr):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((SecretStr, self._text))


def remember(text: str) -> None:
    """Keep `text` (and, for a JSON record, each text in it) out of error logs from now on."""
    for part in (text, *_leaves(text)):
        if len(part) < SHORTEST:
            continue
        _opened[part] = None
        _opened.move_to_end(part)
    while len(_opened) > KEPT:
        _opened.popitem(last=False)


def remembered() -> tuple[str, ...]:
    """The texts kept out of logs, longest first: one within another hides nothing by halves."""
    return tuple(sorted(_opened, key=len, reverse=True))


def from_outside(name: str, env: Mapping[str, str]) -> tuple[str, str] | None:
    """The text given for `name` by the environment, and its source; None if nobody gave one.

    `HOLDFAST_X`, else the file named by `HOLDFAST_X_FILE`, else systemd's
    `$CREDENTIALS_DIRECTORY/x` (also with `-` for `_`). Raises OSError or UnicodeDecodeError if a
    named file cannot be read.
    """
    variable = "HOLDFAST_" + name.upper().replace(".", "_")
    if env.get(variable):  # an empty one counts as not given: compose files pass those along
        return env[variable], variable
    if env.get(f"{variable}_FILE"):
        return _text(Path(env[f"{variable}_FILE"])), f"{variable}_FILE"
    if env.get("CREDENTIALS_DIRECTORY"):
        for spelling in (name, name.replace("_", "-")):
            file = Path(env["CREDENTIALS_DIRECTORY"], spelling)
            if file.is_file():
                return _text(file), f"credential {spelling}"
    return None


def take_environment() -> dict[str, str]:
    """The environment as it is now, and from here on without what was meant for us.

    Programs that we start (browsers, compilers, somebody's project) inherit what is left: no
    setting of ours, and with it no key and no password.
    """
    whole = dict(os.environ)
    for name in whole:
        if name.startswith("HOLDFAST_") or name == "CREDENTIALS_DIRECTORY":
            del os.environ[name]
    return whole


def _text(file: Path) -> str:
    return file.read_text("utf-8").rstrip("\r\n")


def _leaves(text: str) -> list[str]:
    """The texts inside a JSON record; a credential is often stored as one."""
    if not text.startswith(("{", "[")):
        return []
    try:
        value = json.loads(text)
    except ValueError:
        return []
    found: list[str] = []
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return found
