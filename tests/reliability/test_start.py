"""Starting and stopping the real program: what it refuses, how it says so, how it ends."""

import hashlib
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import httpx
import pytest

from tests.reliability.evidence import Row, ask
from tests.serving import PASSWORD, Person, PortalProcess, Server, admin_env, serving, until

AGAIN, CONFIG = 75, 78
JOBS = "SELECT state, attempts, crashes FROM queueJobs WHERE type = 'tickets.download'"


def refused(data_dir: Path, **env: str) -> tuple[int, str]:
    """Exit status and the whole output of a start that is expected to fail."""
    server = Server(data_dir)
    try:
        status = server.spawn(**env).wait()
    finally:
        server.kill()
    return status, server.log()


def prints(folder: Path) -> dict[str, str]:
    """Every file below the folder with the hash of its bytes."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def change(data_dir: Path, sql: str) -> None:
    connection = apsw.Connection(str(data_dir / "holdfast.db"))
    try:
        connection.execute(sql)
    finally:
        connection.close()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A data folder that a server has used and left."""
    with serving(tmp_path / "made" / "data") as server:
        assert server.stop() == 0
        return server.data_dir


def test_a_second_start_says_who_holds_the_folder(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        status, said = refused(server.data_dir.parent / "data")
        assert status == AGAIN
        assert said == f"{server.data_dir}: already running, pid {server.pid}\n"
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        server.kill()
        server.start()  # a dead holder holds nothing


@pytest.mark.feature("Q-02")
def test_jobs_run_in_the_process_that_serves_pages_and_nowhere_else(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        change(
            server.data_dir,
            "INSERT INTO queueJobs (id, type, runAt, createdAt, updatedAt)"
            " VALUES ('j', 'ops.stats_fold', 0, 0, 0)",
        )
        done = "SELECT 1 FROM queueJobs WHERE id='j' AND state='succeeded'"
        until(lambda: ask(server.data_dir, done), "the job to run")
        (worker,) = ask(server.data_dir, "SELECT pid FROM queue_workers")
        assert worker["pid"] == server.pid
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
        assert children.split() == []


@pytest.mark.feature("X-49")
def test_a_newer_database_is_refused_and_left_alone(made: Path) -> None:
    change(made, "PRAGMA user_version = 9999")
    before = prints(made)
    status, said = refused(made)
    assert status == CONFIG
    assert len(said.splitlines()) == 1
    assert "9999" in said
    assert "newer" in said
    after = prints(made)
    assert after["holdfast.db"] == before["holdfast.db"]
    looked = {"holdfast.db-wal", "holdfast.db-shm"}  # SQLite's, for reading; both hold nothing
    assert set(after) - set(before) <= looked
    assert not (made / "holdfast.db-wal").exists() or (made / "holdfast.db-wal").stat().st_size == 0


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("HOLDFAST_PORT", "eighty", "port"),
        ("HOLDFAST_PORT", "65536", "port"),
        ("HOLDFAST_LOG_LEVEL", "loud", "log_level"),
        ("HOLDFAST_TRUSTED_PROXIES", "proxy.example", "trusted_proxies"),
        ("HOLDFAST_PUBLIC_URL", "ftp://x", "public_url"),
        ("HOLDFAST_ACCOUNTS_INVITE_HOURS", "-5", "accounts.invite_hours"),
        ("HOLDFAST_TICKETS_DRIVER", "steam", "tickets.driver"),
        ("HOLDFAST_CONFIG", "/nowhere/holdfast.toml", "config"),
    ],
)
@pytest.mark.feature("X-44")
def test_a_bad_setting_is_one_line_and_no_folder(
    tmp_path: Path, name: str, value: str, key: str
) -> None:
    status, said = refused(tmp_path / "data", **{name: value})
    assert status == CONFIG
    lines = said.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{key}: ")
    assert "Traceback" not in lines[0]
    assert not (tmp_path / "data").exists()


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGED: dict[str, Callable[[Path], object]] = {
    "other bytes": lambda file: file.write_bytes(b"this was never a database\n" * 400),
    "cut short": lambda file: os.truncate(file, 5000),
    "a folder": become_a_folder,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_file_that_is_no_database_is_refused_in_one_line(made: Path, damage: str) -> None:
    DAMAGED[damage](made / "holdfast.db")
    before = prints(made)
    status, said = refused(made)
    assert status == CONFIG
    assert len(said.splitlines()) == 1
    assert "holdfast.db" in said
    assert prints(made).get("holdfast.db") == before.get("holdfast.db")


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as server:
        port = httpx.URL(server.url).port or 0
        other = Server(tmp_path / "two", port=port)
        try:
            assert other.spawn().wait() == CONFIG
        finally:
            other.kill()
        assert other.log() == f"127.0.0.1 port {port}: Address already in use\n"


class Stream:
    """A page's /live, read in a thread until the server ends it."""

    def __init__(self, person: Person) -> None:
        self.text = ""
        self.ended = False
        self._person = person
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until(lambda: "event: hello" in self.text, "the stream to open")

    def _read(self) -> None:
        with self._person.http.stream("GET", "/live?at=/tickets", timeout=60) as answer:
            for piece in answer.iter_text():
                self.text += piece
            self.ended = True  # by a last chunk, not by a broken line

    def join(self) -> None:
        self._thread.join(30)


def with_a_running_job(house: Path, outside: PortalProcess) -> tuple[Server, Person, Stream]:
    """A server in the middle of a slow run, and a page of that student's that listens."""
    outside.scenario("slow", seconds=60)
    server = Server(house, {**admin_env(house.parent), **outside.env}).start()
    person = Person(server.url).sign_in("student-1", PASSWORD)
    stream = Stream(person)
    person.order_ticket()
    until(lambda: [row["state"] for row in ask(house, JOBS)] == ["running"], "the run to begin")
    return server, person, stream


def assert_runs_again(server: Server, outside: PortalProcess) -> None:
    """The run given back was not counted, and the next life brings it to its end."""
    given_back: Row = {"state": "queued", "attempts": 0, "crashes": 0}
    assert ask(server.data_dir, JOBS) == [given_back]
    outside.scenario("ok")
    server.start()
    until(lambda: ask(server.data_dir, JOBS)[0]["state"] == "succeeded", "the run to end")
    assert ask(server.data_dir, JOBS)[0]["attempts"] == 1
    assert server.stop() == 0


@pytest.mark.feature("X-53", "Q-30")
def test_a_signal_ends_streams_gives_the_job_back_and_exits(
    house: Path, running_portal: PortalProcess
) -> None:
    change(house, "UPDATE queueSettings SET drainTimeoutMs = 1500")
    server, person, stream = with_a_running_job(house, running_portal)
    try:
        assert server.stop(limit_s=15) == 0
        stream.join()
        assert stream.ended
        assert "Traceback" not in server.log()
        assert_runs_again(server, running_portal)
    finally:
        server.kill()
        person.http.close()


@pytest.mark.feature("X-53")
def test_while_it_drains_pages_answer_and_a_second_signal_ends_it_at_once(
    house: Path, running_portal: PortalProcess
) -> None:
    change(house, "UPDATE queueSettings SET drainTimeoutMs = 600000")
    server, person, stream = with_a_running_job(house, running_portal)
    try:
        server.terminate()
        stream.join()
        assert stream.ended
        ready = person.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "draining")
        assert person.get("/tickets").status_code == 200
        assert server.stop(limit_s=15) == 0
        assert_runs_again(server, running_portal)
    finally:
        server.kill()
        person.http.close()


def test_a_crash_leaves_no_picture_of_the_memory(tmp_path: Path) -> None:
    """What lies in the memory are master keys and passwords."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.fail("this machine allows no core dumps at all: nothing to see here")
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with serving(tmp_path / "data") as server:
            limits = Path(f"/proc/{server.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4] == "0"
