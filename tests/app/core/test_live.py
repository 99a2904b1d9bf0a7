"""Names on streams: who hears what, when, and what a stream that was away is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from app.core.live import PER_SESSION, QUEUE, Hub, Noun, Stream, TooManyStreams
from db.changes import FEED
from db.engine import ApswEngine
from db.keys import uuid7

pytestmark = pytest.mark.anyio

NOUNS = {
    "tickets": Noun("ticket", owner="user_id", to="owner"),
    "queueJobs": Noun("job", plural="jobs", owner="ownerUserId", to="owner"),
    "firmware": Noun("firmware", domain="firmware"),
    "users": Noun("user", to="admin"),
}
TICKET = (
    "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status)"
    " VALUES (?, ?, ?, 'tickets/a/b/raw.html', 'success')"
)
JOB = (
    "INSERT INTO queueJobs (id, type, runAt, ownerUserId, createdAt, updatedAt)"
    " VALUES (?, 'x.y', 0, ?, 0, 0)"
)


@dataclass
class Viewer:
    id: str
    role: str = "user"
    domains: tuple[str, ...] = ("tickets",)
    session_id: str = field(default_factory=uuid7)


@dataclass
class Stage:
    """A hub on a database with two people in it."""

    db: ApswEngine
    hub: Hub
    anna: Viewer
    ben: Viewer
    boss: Viewer

    async def ticket(self, of: Viewer, version: str) -> int:
        await self.db.execute(TICKET, (of.id, version, "0" * 64))
        return int(await self.db.value("SELECT max(id) FROM tickets"))


@pytest.fixture
async def stage(db: ApswEngine) -> AsyncIterator[Stage]:
    people = [Viewer(uuid7()), Viewer(uuid7(), domains=("firmware",)), Viewer(uuid7(), "admin")]
    for person, login in zip(people, ("anna", "ben", "boss"), strict=True):
        await db.execute(
            "INSERT INTO users (id, login, role) VALUES (?, ?, ?)", (person.id, login, person.role)
        )
    await asyncio.sleep(0.3)  # the beat that tells of these three
    hub = Hub(NOUNS, FEED)
    yield Stage(db, hub, *people)
    hub.close()


async def heard(stream: Stream, wait_s: float = 0.7) -> set[str]:
    """Every name until nothing more comes."""
    names: set[str] = set()
    while found := await stream.next(wait_s):
        names |= {name for name, _ in found}
        wait_s = 0.35
    return names


async def test_a_commit_is_heard_by_its_owner_and_admins_alone(stage: Stage) -> None:
    anna, ben, boss = (stage.hub.connect(who) for who in (stage.anna, stage.ben, stage.boss))
    number = await stage.ticket(stage.anna, "v1")
    assert await heard(anna) == {"tickets", f"ticket-{number}"}
    assert await heard(boss) == {"tickets", f"ticket-{number}"}
    assert await heard(ben, 0.1) == set()


async def test_a_row_that_changes_hands_is_told_to_both(stage: Stage) -> None:
    number = await stage.ticket(stage.anna, "v1")
    await asyncio.sleep(0.3)
    anna, ben = stage.hub.connect(stage.anna), stage.hub.connect(stage.ben)
    await stage.db.execute("UPDATE tickets SET user_id = ?", (stage.ben.id,))
    assert await heard(anna) == {"tickets", f"ticket-{number}"}
    assert await heard(ben) == {"tickets", f"ticket-{number}"}


async def test_a_rollback_says_nothing(stage: Stage) -> None:
    boss = stage.hub.connect(stage.boss)

    async def fail() -> None:
        async with stage.db.tx():
            await stage.ticket(stage.anna, "v1")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - ours, from three lines above
        await fail()
    assert await heard(boss) == set()


async def test_a_cascade_is_a_change_like_any_other(stage: Stage) -> None:
    number = await stage.ticket(stage.anna, "v1")
    await asyncio.sleep(0.3)
    boss = stage.hub.connect(stage.boss)
    await stage.db.execute("DELETE FROM users WHERE id = ?", (stage.anna.id,))
    assert {"tickets", f"ticket-{number}", "users"} <= await heard(boss)


async def test_a_domains_rows_are_heard_by_those_who_may_use_it(stage: Stage) -> None:
    anna, ben = stage.hub.connect(stage.anna), stage.hub.connect(stage.ben)
    await stage.db.execute(
        "INSERT INTO firmware (version_code, filename, path, size_bytes, logic_value_factory,"
        " latest_fw_version) VALUES ('A/B/C/D', 'f', '/p', 1, 'l', 'A/B/C/D')"
    )
    assert "firmware" in await heard(ben)
    assert await heard(anna, 0.1) == set()


async def test_a_storm_is_a_few_names(stage: Stage) -> None:
    anna = stage.hub.connect(stage.anna)
    messages = 0
    for _burst in range(4):  # all at once: a row that comes alone has a name of its own
        rows = [(uuid7(), stage.anna.id) for _ in range(100)]
        await asyncio.gather(*(stage.db.execute(JOB, row) for row in rows))
        messages += len([x for x in await anna.next(0.001) if x[0] == "jobs"])
    names = await heard(anna)
    assert names <= {"jobs", "job-all", "resync"}, "no row of four hundred has a name of its own"
    assert messages <= 8


async def test_many_rows_of_one_commit_are_one_name(stage: Stage) -> None:
    anna = stage.hub.connect(stage.anna)
    async with stage.db.tx():
        for _ in range(150):
            await stage.db.execute(JOB, (uuid7(), stage.anna.id))
    assert await heard(anna) == {"jobs", "job-all"}


async def test_who_was_away_hears_what_was_missed(stage: Stage) -> None:
    anna = stage.hub.connect(stage.anna)
    await stage.ticket(stage.anna, "v1")
    await heard(anna)
    last = f"{stage.hub.boot}-{stage.hub.number}"
    anna.close()
    missed = await stage.ticket(stage.anna, "v2")
    await stage.ticket(stage.ben, "v1")
    await asyncio.sleep(0.6)
    again = stage.hub.connect(stage.anna, last_id=last)
    assert await heard(again) == {"tickets", f"ticket-{missed}"}


@pytest.mark.parametrize("last", ["another-boot-7", "garbage", "-", "{boot}-999999", "{boot}-x"])
async def test_a_strange_last_id_is_answered_with_resync(stage: Stage, last: str) -> None:
    await stage.ticket(stage.anna, "v1")
    await asyncio.sleep(0.3)
    stream = stage.hub.connect(stage.anna, last_id=last.format(boot=stage.hub.boot))
    assert await heard(stream) == {"resync"}


async def test_a_slow_reader_is_told_to_fetch_everything(stage: Stage) -> None:
    anna = stage.hub.connect(stage.anna)
    for n in range(QUEUE + 5):
        anna.put(f"ticket-{n}", n)
    names = {name for name, _ in await anna.next(0.1)}
    assert "resync" in names
    assert len(names) < 10


async def test_another_processs_commit_means_resync(stage: Stage) -> None:
    anna = stage.hub.connect(stage.anna)
    FEED.deliver_foreign()
    FEED.deliver_foreign()
    assert await heard(anna, 0.2) == {"resync"}


async def test_a_session_that_ends_ends_its_streams(stage: Stage) -> None:
    session = uuid7()
    await stage.db.execute(
        "INSERT INTO sessions (id, userId, tokenHash, expiresAt)"
        " VALUES (?, ?, ?, '2999-01-01T00:00:00.000Z')",
        (session, stage.anna.id, "0" * 64),
    )
    gone = stage.hub.connect(Viewer(stage.anna.id, session_id=session))
    other = stage.hub.connect(stage.anna)
    await stage.db.execute("DELETE FROM sessions WHERE id = ?", (session,))
    await gone.next(1)
    assert gone.over == "bye"
    assert other.over is None


async def test_a_changed_account_has_its_rights_read_again(stage: Stage) -> None:
    anna, ben = stage.hub.connect(stage.anna), stage.hub.connect(stage.ben)
    await stage.db.execute("UPDATE users SET is_active = 0 WHERE id = ?", (stage.anna.id,))
    await anna.next(1)
    assert anna.stale
    assert not ben.stale


async def test_a_session_has_so_many_streams_and_no_more(stage: Stage) -> None:
    streams = [stage.hub.connect(stage.anna) for _ in range(PER_SESSION)]
    with pytest.raises(TooManyStreams):
        stage.hub.connect(stage.anna)
    streams[0].close()
    assert stage.hub.connect(stage.anna)


async def test_who_is_watching_is_counted_below_a_path(stage: Stage) -> None:
    stage.hub.connect(stage.anna, "/projects/7")
    stage.hub.connect(stage.ben, "/projects/7/files")
    stage.hub.connect(stage.boss, "/projects/70")
    assert stage.hub.watching("/projects/7") == 2


async def test_closing_ends_every_stream_and_takes_no_new_one(stage: Stage) -> None:
    anna = stage.hub.connect(stage.anna)
    stage.hub.close()
    await anna.next(1)
    assert anna.over == "restart"
    with pytest.raises(TooManyStreams):
        stage.hub.connect(stage.anna)
    stage.hub = Hub(NOUNS, FEED)


async def test_a_changed_setting_has_everybodys_rights_read_again(stage: Stage) -> None:
    # A domain may have been switched off, or on.
    stream = stage.hub.connect(stage.ben)
    await stage.db.execute(
        "INSERT INTO configuration (id, key, value) VALUES ('c', 'domains.enabled', '[]')"
    )
    assert await stream.next(5) == []
    assert stream.stale
