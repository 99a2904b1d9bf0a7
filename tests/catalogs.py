"""The words of the program and their catalogs; `python -m tests.catalogs` refreshes the files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

from app.core.i18n import DOMAIN, LANGUAGES
from app.core.paths import LOCALES, ROOT

KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "_": None,
    "mark": None,
    "ngettext": (1, 2),
    "key": (3,),  # what a setting is for: settings.key(name, default, help)
}
UNREAD = "needs a reader: written by the developers, not yet read by somebody who grew up with it"
_PLACE = re.compile(r"%\((\w+)\)([a-z])")


def extract() -> Catalog:
    """Every message that app/ and templates/ name, with the places where they stand."""
    with (LOCALES / "babel.cfg").open(encoding="utf-8") as config:
        methods, options = parse_mapping_cfg(config)  # type: ignore[no-untyped-call]
    found = Catalog(project="Holdfast", charset="utf-8")
    for name, line, message, comments, context in extract_from_dir(
        str(ROOT), methods, options, keywords=KEYWORDS, directory_filter=_ours
    ):
        found.add(message, None, [(name, line)], auto_comments=comments, context=context)
    return found


def read(locale: str) -> Catalog:
    """The catalog of a language as it stands in the tree; empty if there is none."""
    path = path_of(locale)
    if not path.is_file():
        return Catalog(locale=locale, domain=DOMAIN, project="Holdfast", charset="utf-8")
    with path.open("rb") as source:
        return read_po(source, locale=locale, domain=DOMAIN)


def path_of(locale: str) -> Path:
    return LOCALES / locale / "LC_MESSAGES" / f"{DOMAIN}.po"


def missing(locale: str, wanted: Catalog) -> list[str]:
    """Messages that the program names and this language does not translate."""
    have = read(locale)
    return [key(message) for message in _real(wanted) if not _filled(have, message)]


def wrong_places(locale: str) -> list[str]:
    """Translations whose `%(name)s` places are not those of the message."""
    return [
        key(message)
        for message in _real(read(locale))
        for text in _texts(message.string)
        if text and not _fits(message, places(text))
    ]


def _fits(message: Message, found: set[tuple[str, str]]) -> bool:
    # "Wait a minute" needs no number where "wait 5 minutes" does.
    wanted = places(key(message))
    return found <= wanted if isinstance(message.id, (list, tuple)) else found == wanted


def places(text: str) -> set[tuple[str, str]]:
    return set(_PLACE.findall(text))


def key(message: Message) -> str:
    return str(message.id[-1] if isinstance(message.id, (list, tuple)) else message.id)


def update(locale: str, wanted: Catalog) -> int:
    """Add what is new, drop what is gone; returns the number of gaps. English is its own text."""
    have = read(locale)
    fresh = Catalog(locale=locale, domain=DOMAIN, project="Holdfast", charset="utf-8")
    fresh.fuzzy = False
    fresh.header_comment = "# Holdfast in " + LANGUAGES[locale]
    if locale in {"ru", "es"}:
        fresh.header_comment += f"\n# {UNREAD}"
    for message in sorted(_real(wanted), key=key):
        old = have.get(message.id)
        text = old.string if old else ""
        if locale == "en":
            text = message.id
        fresh.add(message.id, text, flags=message.flags)
    path = path_of(locale)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        write_po(target, fresh, width=100, no_location=True, omit_header=False, sort_output=True)
    _without_dates(path)
    return len(missing(locale, wanted))


def _without_dates(path: Path) -> None:
    # Dates in the head would make every update a change.
    lines = path.read_text("utf-8").splitlines(keepends=True)
    kept = [
        line
        for line in lines
        if not line.startswith(('"POT-Creation', '"PO-Revision', '"Generated-By'))
    ]
    path.write_text("".join(kept), "utf-8")


def _real(catalog: Catalog) -> list[Message]:
    return [message for message in catalog if message.id]


def _texts(string: object) -> list[str]:
    return [str(text) for text in string] if isinstance(string, (list, tuple)) else [str(string)]


def _filled(have: Catalog, message: Message) -> bool:
    found = have.get(message.id)
    return found is not None and all(_texts(found.string)) and not found.fuzzy


def _ours(folder: str) -> bool:
    name = Path(folder).name
    return not name.startswith(".") and name not in {
        "tests",
        "static",
        "node_modules",
        "data",
        "bench",
    }


if __name__ == "__main__":
    messages = extract()
    for language in LANGUAGES:
        sys.stdout.write(f"{language}: {update(language, messages)} missing\n")
