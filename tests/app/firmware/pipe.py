"""The download pipeline alone against the stand-in: no program, no queue, tables unused."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.firmware import keys
from app.firmware.client import Client, Profile, Wish, list_versions, newest
from app.firmware.pipeline import engine, peek, segments
from app.firmware.pipeline.segments import Segment
from app.firmware.pipeline.source import Remote
from app.firmware.pipeline.state import Figures, Options
from app.firmware.pipeline.unpack import Checked
from tests.app.firmware.site import CSC, MODEL


@dataclass
class Run:
    """What one download told on its way."""

    figures: list[Figures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)

    @property
    def most(self) -> int:
        """Most connections seen at once."""
        return max(figures.connections for figures in self.figures)


async def fetch(
    profile: Profile,
    folder: Path,
    run: Run,
    *,
    peeked: Callable[[], None] = lambda: None,
    silence_s: float = 30.0,
    **options: Any,
) -> Path:
    """Download the newest file of the usual model; the archive on disk.

    `peeked` is called when both ends of the file are here and nothing else has begun.
    """
    latest = newest((await list_versions(profile, MODEL, CSC))[0])
    assert latest is not None
    async with Client(profile) as client:
        binary = await client.inform(Wish(model=MODEL, csc=CSC, version=latest.version))
        await client.init(binary.filename, binary.key_version, CSC, binary.model_type)
        loop = asyncio.get_running_loop()
        source = Remote(
            client.cloud_target(binary.path, binary.filename),
            client.cloud_head,
            allow=profile.places(),
            generation=lambda: client.generation,
            renew=lambda n: asyncio.run_coroutine_threadsafe(client.renew(n), loop).result(20),
            silence_s=silence_s,
            on_note=run.notes.append,
        )
        key = keys.enc4_key(binary.key_version, binary.logic_value)
        part, size = folder / "zip.part", binary.size_bytes
        ends = await asyncio.to_thread(peek.peek, source, key, size, part)
        assert ends is not None
        peeked()
        chosen = Options(**options)
        (folder / "parts").mkdir()

        async def save(_segments: list[Segment], _checked: list[Checked]) -> None:
            return None

        async def tell(figures: Figures, notes: list[str]) -> None:
            run.figures.append(figures)
            run.notes.extend(notes)

        plan = engine.Plan(
            key=key,
            size=size,
            crc32=binary.crc32,
            segments=segments.plan(ends.segments, [(0, size)], size, chosen.connections),
            members=ends.members,
            part_file=part,
            folder=folder / "parts",
            options=chosen,
        )
        run.checked = await engine.fetch(plan, source, save=save, tell=tell, check=lambda: None)
    return part
