"""kill -9 at named and at random moments: the next start goes on, and the files are the same."""

import asyncio
import random
import signal
from pathlib import Path

import pytest

from app.demo.fus.serve import Fus
from tests.app.firmware import site
from tests.app.firmware.lives import check_files, fus_log, live, saved, sent, twice, verified
from tests.app.firmware.test_lines import large

pytestmark = [pytest.mark.anyio, pytest.mark.feature("F-22")]

__all__ = ["large"]
POINTS = (
    "firmware_write:2",
    "firmware_member_done:2",
    "firmware_saved",
    "firmware_fetched",
    "firmware_renamed",
)


def test_the_witness_sees_what_is_fetched_twice() -> None:
    assert twice([(0, 16), (100, 200)], [(16, 100), (200, 300)]) == []
    assert twice([(100, 200)], [(0, 101), (150, 160), (199, 500)]) == [
        (100, 101),
        (150, 160),
        (199, 200),
    ]


async def test_killed_at_every_point_in_turn_it_goes_on(database: Path, fus: Fus) -> None:
    """Five lives of one download; the third crash puts its job aside, and a person tries again."""
    for point in POINTS:
        before, line = verified(database), len(fus.log())
        assert await live(database, fus.url, point=point) == -signal.SIGKILL, point
        assert twice(before, sent(fus_log(fus, line))) == [], point
    before, line = verified(database), len(fus.log())
    assert await live(database, fus.url) == 0
    assert twice(before, sent(fus_log(fus, line))) == []
    assert sum(stop - start for start, stop in before) == site.file_stats(fus)["once"]
    check_files(database)


async def test_killed_at_random_moments_no_verified_byte_is_fetched_twice(
    database: Path, large: Fus
) -> None:
    large.scenario("slow", rate=250_000)
    seed = random.randrange(2**32)
    pick = random.Random(seed)
    kept = 0
    for number in range(2):  # the second only after more bytes were written down
        before, line, due = verified(database), len(large.log()), asyncio.Event()
        life = asyncio.ensure_future(live(database, large.url, kill_at=due))
        if number:
            await saved(database, 2**20)
        else:
            while not large.state.streams:  # noqa: ASYNC110 - sockets
                await asyncio.sleep(0.02)
        await asyncio.sleep(pick.uniform(0, 0.7))
        due.set()
        assert await life == -signal.SIGKILL, f"seed {seed}"
        assert twice(before, sent(fus_log(large, line))) == [], f"seed {seed}"
        kept = sum(stop - start for start, stop in verified(database))
    large.scenario("ok")
    before, line = verified(database), len(large.log())
    assert kept > 2**20
    assert await live(database, large.url) == 0
    assert twice(before, sent(fus_log(large, line))) == [], f"seed {seed}"
    check_files(database)
