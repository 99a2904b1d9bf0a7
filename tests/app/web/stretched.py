"""A made-up language: every text of ours a good third longer and between brackets.

What does not fit shows at once, and so does what never went through `_()`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from app.core import i18n
from tests.catalogs import read

LOCALE = "es"  # whose place it takes: two plural forms, as English has
LEFT, RIGHT = "⟦", "⟧"
_PLACE = re.compile(r"(%\(\w+\)[a-z]|%%)")
_LETTERS = str.maketrans("aeiouncsyAEIOUNCSY", "áéíóúñçšýÁÉÍÓÚÑÇŠÝ")


def stretch(text: str) -> str:
    """`Save %(n)s` becomes `⟦Šávé %(n)s ~~~⟧`."""
    parts = _PLACE.split(text)
    marked = "".join(p if _PLACE.fullmatch(p) else p.translate(_LETTERS) for p in parts)
    # In words of nine letters: what has to break in a line can.
    more = wrap("~" * max(len(text) * 2 // 5, 2), 9)
    return f"{LEFT}{marked} {' '.join(more)}{RIGHT}"


@contextmanager
def stretched(folder: Path) -> Iterator[None]:
    """Inside the block whoever reads Spanish reads this."""
    made = Catalog(locale=LOCALE, domain=i18n.DOMAIN, charset="utf-8")
    for message in read("en"):
        if message.id:
            plural = isinstance(message.id, tuple)
            texts = tuple(map(stretch, message.id)) if plural else stretch(str(message.id))
            made.add(message.id, texts)
    path = folder / LOCALE / "LC_MESSAGES" / f"{i18n.DOMAIN}.po"
    path.parent.mkdir(parents=True)
    with path.open("wb") as target:
        write_po(target, made)
    i18n.use_folder(folder)
    try:
        yield
    finally:
        i18n.use_folder()
