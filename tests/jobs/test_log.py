from pathlib import Path

import pytest

from db.engine import DB, ApswEngine
from jobs import enqueue as queue
from jobs import logfile
from jobs.claim import Fence
from jobs.enqueue import enqueue
from jobs.log import MESSAGE_CHARS, Notes, write
from tests.jobs.samples import Note

pytestmark = pytest.mark.anyio


@pytest.fixture
def notes() -> Notes:
    return Notes(lambda _full: None, str, 30_000)


async def flush(notes: Notes) -> None:
    await DB.write(lambda connection: write(connection, notes.take()))


async def messages(job_id: str) -> list[str]:
    sql = "SELECT message FROM job_events WHERE job_id=? ORDER BY id"
    return [row["message"] for row in await DB.all(sql, [job_id])]


async def test_a_talkative_job_keeps_its_newest_lines_and_its_warnings(
    db: ApswEngine, notes: Notes
) -> None:
    await DB.execute("UPDATE queueSettings SET keepEventsPerJob=5")
    fence = Fence((await enqueue(Note())).id, "w", 1)
    notes.say(fence, "warn", "x", "mind this", {})
    for n in range(20):
        notes.say(fence, "info", "x", f"line {n}", {})
        await flush(notes)
    kept = await messages(fence.id)
    assert len(kept) <= 5
    assert kept[0] == f"{21 - len(kept) + 1} entries dropped"
    assert kept[1] == "mind this"
    assert kept[-1] == "line 19"


async def test_a_long_message_is_cut_with_a_mark(db: ApswEngine, notes: Notes) -> None:
    fence = Fence((await enqueue(Note())).id, "w", 1)
    notes.say(fence, "info", "x", "a" * 9000, {})
    await flush(notes)
    (message,) = await messages(fence.id)
    assert message == "a" * MESSAGE_CHARS + " … (cut)"


async def test_last_words_of_a_deleted_job_harm_nobody(db: ApswEngine, notes: Notes) -> None:
    gone, there = await enqueue(Note()), await enqueue(Note())
    await queue.cancel(id=gone.id)
    await queue.delete(gone.id)
    for job in (gone, there):
        notes.say(Fence(job.id, "w", 1), "info", "x", "said", {})
    await flush(notes)
    assert (await messages(gone.id), await messages(there.id)) == ([], ["said"])


async def test_what_could_not_be_written_waits_and_newer_progress_wins(notes: Notes) -> None:
    fence = Fence("j", "w", 1)
    notes.say(fence, "info", "x", "first", {})
    notes.move(fence, 10, None)
    failed = notes.take()
    notes.say(fence, "info", "x", "second", {})
    notes.move(fence, 20, None)
    notes.restore(failed)
    pending = notes.take()
    assert [line.message for line in pending.lines] == ["first", "second"]
    assert pending.progress == {fence: (20, None)}


def test_a_log_file_over_its_cap_keeps_head_and_tail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in {"CAP_BYTES": 100, "HEAD_BYTES": 10, "TAIL_BYTES": 30}.items():
        monkeypatch.setattr(logfile, name, size)
    path = tmp_path / "job.log"
    file = logfile.LogFile(path)
    for n in range(30):
        file.append(f"line {n:04}\n".encode())
    text = path.read_bytes()
    assert text.startswith(b"line 0000\n")
    assert text.endswith(b"line 0029\n")
    assert b"cut here" in text
    assert len(text) < 200
