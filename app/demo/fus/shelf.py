"""The files that were asked for, baked once and kept in a folder."""

import asyncio
import os
import tempfile
from pathlib import Path

import msgspec

from app.demo.fus.archive import Facts, bake
from app.demo.fus.recipe import Recipe


class Shelf:
    """Files by recipe. A given folder outlives the stand-in, a temporary one does not."""

    def __init__(self, folder: Path | None) -> None:
        self._temporary = tempfile.TemporaryDirectory() if folder is None else None
        self.folder = folder or Path(self._temporary.name if self._temporary else "")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._facts: dict[str, Facts] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, recipe: Recipe) -> Facts:
        """The facts of the file, which is then on disk; several askers bake it once."""
        async with self._locks.setdefault(recipe.id, asyncio.Lock()):
            if recipe.id not in self._facts:
                self._facts[recipe.id] = await asyncio.to_thread(self._load_or_bake, recipe)
        return self._facts[recipe.id]

    def path(self, recipe: Recipe) -> Path:
        """Where the bytes are."""
        return self.folder / f"{recipe.id}.bin"

    def close(self) -> None:
        """Remove what was made for this run only."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def _load_or_bake(self, recipe: Recipe) -> Facts:
        path, card = self.path(recipe), self.folder / f"{recipe.id}.json"
        if card.exists() and path.exists():
            facts = msgspec.json.decode(card.read_bytes(), type=Facts)
            if facts.size == path.stat().st_size:
                return facts
        unfinished = path.with_suffix(f".{os.getpid()}.part")  # the folder may be shared
        facts = bake(recipe, unfinished)
        unfinished.replace(path)
        card.write_bytes(msgspec.json.encode(facts))
        return facts
