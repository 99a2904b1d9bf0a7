"""`holdfast doctor`: real processes on a real folder, healthy and with one thing wrong."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from app.accounts.service import setup
from app.accounts.service.passwords import Hasher
from app.core import audit, doctor, doctor_disk, doctor_file, doctor_outside, i18n, settings, vault
from app.core.doctor import Finding
from app.core.ring import RING_FILE, format_ring, key_id
from app.core.ring import RingKey as Key
from db.engine import DB
from tests.app.accounts.conftest import GOOD
from tests.app.house import running
from tests.app.web.server import running as served_at
from tests.serving import clean_environment, serving

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]
CANARY = "swordfish-7431-in-the-vault"


def examined(data_dir: Path, *words: str, **env: str) -> tuple[int, dict[str, Finding], str]:
    """Exit status, findings by name (the worst of each), everything printed."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "doctor", "--json", "--data", str(data_dir), *words],
        cwd=ROOT,
        env=clean_environment(HOLDFAST_ACCOUNTS_ARGON2_PRESET="small", **env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.startswith("["), done.stderr[-3000:]
    worst: dict[str, Finding] = {}
    for row in json.loads(done.stdout):
        one = Finding(**row)
        rank = ("ok", "warn", "bad").index
        if one.name not in worst or rank(one.state) > rank(worst[one.name].state):
            worst[one.name] = one
    return done.returncode, worst, done.stdout + done.stderr


@pytest.fixture
async def folder(database: Path, hasher: Hasher) -> Path:
    """A house with an admin, a secret setting and a few lines of audit; nobody holds it open."""
    await DB.open(database)
    await vault.load(database.parent, {})
    await setup.create_admin("ada", GOOD, hasher=hasher)
    await settings.put("tickets.base_password", CANARY, None, actor_kind="system")
    for number in range(5):
        await audit.record(f"test.{number}", actor_id=None, actor_kind="system")
    vault.close()
    await DB.close()
    return database.parent


@pytest.mark.feature("X-45")
async def test_a_healthy_house_passes_and_its_bundle_tells_no_secret(
    folder: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "bundle.zip"
    before = {path.name for path in folder.iterdir()}
    status, found, printed = examined(folder, "--bundle", str(packed))
    assert status == 0, printed
    assert {name for name, one in found.items() if one.state == "bad"} == set()
    assert found["key ring"].state == found["audit log"].state == "ok"
    sound = ("integrity", "foreign keys", "schema", "clock", "jobs", "free inodes")
    assert {found[name].state for name in sound} == {"ok"}
    assert found["backups"].text == "no backups yet"
    for name in ("free space", "file system", "write-ahead log"):
        assert found[name].text
    assert found["accounts"].state == "warn"
    assert "ada" in found["accounts"].text, "she has no second factor"
    assert all(one.hint for one in found.values() if one.state != "ok")
    assert {path.name for path in folder.iterdir()} - before <= {
        *("holdfast.db-wal", "holdfast.db-shm"),
    }
    assert packed.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(packed) as archive:
        whole = b"".join(archive.read(name) for name in archive.namelist())
        told = json.loads(archive.read("settings.json"))
    for secret in (CANARY, "ada@", '"ada"', (folder / RING_FILE).read_text().split()[1]):
        assert secret.encode() not in whole
        assert secret not in printed or secret == '"ada"'
    assert {"name": "tickets.base_password", "value": "set", "source": "configuration"} in told
    assert b'"users": 1' in whole, "the control: it says what it may"


def unlock(folder: Path) -> None:
    (folder / RING_FILE).chmod(0o644)


def other_key(folder: Path) -> None:
    secret = os.urandom(32)
    (folder / RING_FILE).write_bytes(format_ring([Key(key_id(secret), secret, "-", RING_FILE)]))


def on_file(*statements: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        connection = apsw.Connection(str(folder / "holdfast.db"))
        for statement in statements:
            connection.execute(statement).fetchall()
        connection.close()

    return change


DISEASES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a key others can read": (unlock, "data folder", "secret.key can be read by others"),
    "another key": (other_key, "key ring", "does not open this database"),
    "no key": (lambda folder: (folder / RING_FILE).unlink(), "key ring", "holds kids none"),
    # S22: a hand on the rows.
    "a deleted line": (on_file("DELETE FROM audit_log WHERE id = 4"), "audit log", "line 4"),
    "a cut end": (on_file("DELETE FROM audit_log WHERE id >= 5"), "audit log", "line 5"),
    "an added line": (
        on_file(
            "INSERT INTO audit_log (at, actor_kind, action, prev_hash, hash) SELECT at, 'system',"
            " 'forged', hash, hash FROM audit_log ORDER BY id DESC LIMIT 1"
        ),
        "audit log",
        "breaks at line",
    ),
}


@pytest.mark.feature("X-45")
@pytest.mark.parametrize("name", DISEASES)
async def test_each_disease_is_named_with_what_to_do(folder: Path, name: str) -> None:
    harm, place, words = DISEASES[name]
    harm(folder)
    status, found, printed = examined(folder)
    assert status == 1
    assert found[place].state == "bad", printed
    assert words in found[place].text
    assert found[place].hint
    assert CANARY not in printed
    others = {one.name for one in found.values() if one.state == "bad"} - {place}
    assert others == set(), "and nothing else is wrong"
    if name == "a key others can read":
        status, found, _ = examined(folder, "--fix")
        assert status == 0
        assert (folder / RING_FILE).stat().st_mode & 0o777 == 0o600


# What one look at the open file finds: no process is needed for it.
FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "an index that somebody dropped": (
        on_file("DROP INDEX qj_ready"),
        "schema",
        "qj_ready",
    ),
    "a row without its parent": (
        on_file(
            "PRAGMA foreign_keys = OFF",
            "INSERT INTO credentials (id, owner_id, service) VALUES ('c', 'nobody', 'x')",
        ),
        "foreign keys",
        "credentials row",
    ),
    "a page that is not sound": (
        on_file(
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE"
            " name = 'invite_tokens') WHERE name = 'passkeys'",
        ),
        "integrity",
        "",
    ),
    "a clock that went back": (
        on_file(
            "INSERT INTO queueJobs (id, type, payloadJson, runAt, createdAt, updatedAt)"
            " VALUES ('ffffffff', 'x.y', '{}', 9e12, 4e12, 4e12)"
        ),
        "clock",
        "in the future",
    ),
}


@pytest.mark.feature("X-45")
@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_of_the_file_is_found(database: Path, name: str) -> None:
    harm, place, words = FAULTS[name]
    harm(database.parent)
    await DB.open(database)
    chosen = settings.load({"data_dir": database.parent}, {})
    found = {one.name: one async for one in doctor_file.look(chosen)}
    await DB.close()
    assert found[place].state == "bad", found
    assert words in found[place].text
    assert found[place].hint


@pytest.mark.feature("X-45")
@pytest.mark.parametrize(
    ("env", "name", "state"),
    [
        ({"HOLDFAST_TRUSTED_PROXIES": "0.0.0.0/0"}, "proxies", "bad"),
        ({"HOLDFAST_TRUSTED_PROXIES": "127.0.0.1"}, "proxies", "warn"),
        ({"HOLDFAST_TRUSTED_PROXIES": "unix,10.0.0.1"}, "proxies", "ok"),
        ({}, "public address", "warn"),
        ({"HOLDFAST_PUBLIC_URL": "http://h.example"}, "public address", "warn"),
        ({"HOLDFAST_PUBLIC_URL": "https://h.example"}, "public address", "ok"),
        ({}, "host names", "warn"),
        ({"HOLDFAST_ALLOWED_HOSTS": "h.example"}, "host names", "ok"),
    ],
)
def test_what_the_settings_let_in(
    tmp_path: Path, env: dict[str, str], name: str, state: str
) -> None:
    chosen = settings.load({"data_dir": tmp_path}, env)
    (found,) = (one for one in doctor.look(chosen) if one.name == name)
    assert found.state == state
    assert bool(found.hint) == (state != "ok")


@pytest.mark.feature("X-45")
@pytest.mark.parametrize(
    ("found", "state"),
    [
        (doctor_disk.space(50 << 20), "bad"),
        (doctor_disk.space(500 << 20), "warn"),
        (doctor_disk.space(5 << 30), "ok"),
        (doctor_disk.names(100_000, 10), "bad"),
        (doctor_disk.names(1_000_000, 500_000), "ok"),
        (doctor_disk.names(0, 0), "ok"),
        (doctor_disk.system("nfs4"), "bad"),
        (doctor_disk.system("ext4"), "ok"),
        (doctor_disk.log(65 << 20), "warn"),
        (doctor_disk.log(0), "ok"),
    ],
)
def test_what_the_disk_says(found: Finding, state: str) -> None:
    assert found.state == state
    assert bool(found.hint) == (state != "ok")


@pytest.mark.feature("X-45")
async def test_jobs_that_are_stuck_and_the_age_of_backups_are_told(folder: Path) -> None:
    on_file(
        "INSERT INTO queueJobs (id, type, payloadJson, runAt, createdAt, updatedAt, state,"
        " startedAt, lockedBy, lockExpiresAt, attempts)"
        " VALUES ('a', 'x.y', '{}', 1, 1, 1, 'running', 1, 'w', 2, 1)"
    )(folder)
    (folder / "backups").mkdir(exist_ok=True)
    (folder / "backups" / "pre-migrate-1.db").touch()
    old = folder / "backups" / "old.zip"
    old.touch()
    os.utime(old, (1, 1))
    await DB.open(folder / "holdfast.db")
    chosen = settings.load({"data_dir": folder}, {})
    found = {one.name: one async for one in doctor_file.look(chosen)}
    assert found["jobs"].text.startswith("1 job runs on a worker that does not answer")
    assert found["backups"].state == "warn"
    assert found["backups"].text.startswith("the newest is ")
    os.utime(old)
    found = {one.name: one async for one in doctor_file.look(chosen)}
    assert found["backups"].state == "ok"
    await DB.close()


@pytest.mark.feature("X-45")
async def test_the_page_shows_the_same_and_hands_out_the_bundle(database: Path) -> None:
    async with running(database) as house:
        boss = await house.person("boss", role="admin")
        await settings.put("tickets.base_password", CANARY, None, actor_kind="system")
        async with await house.browser(boss) as client:
            empty = (await client.get("/admin/system")).text
            assert "no backups yet" not in empty
            looked = (await client.post("/admin/system")).text
            for words in ("no backups yet", "foreign keys", "copy the whole data folder"):
                assert words in looked
            assert CANARY not in looked
            packed = await client.post("/admin/system/bundle")
            with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
                whole = b"".join(archive.read(name) for name in archive.namelist())
            assert b"no backups yet" in whole
            assert CANARY.encode() not in whole
            assert b"boss" not in whole
            noted = "SELECT actor_id FROM audit_log WHERE action = 'system.bundle_fetched'"
            assert await DB.value(noted) == boss
            await DB.execute("UPDATE sessions SET reauthAt = '2020-01-01T00:00:00.000Z'")
            stale = await client.post("/admin/system/bundle")
            assert stale.status_code == 303
            assert "/account/confirm" in stale.headers["location"]


SAID = {
    "de": ("noch keine Sicherungen", "Fremdschlüssel", "kopieren Sie den ganzen Datenordner"),
    "ru": ("резервных копий ещё нет", "внешние ключи", "скопируйте всю папку данных"),
    "es": ("aún no hay copias de seguridad", "claves foráneas", "copie toda la carpeta de datos"),
}


@pytest.mark.feature("X-20", "X-45")
async def test_the_page_speaks_the_readers_language_and_the_bundle_the_helpers(
    database: Path,
) -> None:
    async with running(database) as house:
        boss = await house.person("boss", role="admin")
        for locale, words in SAID.items():
            await DB.execute("UPDATE users SET locale = ?", (locale,))
            async with await house.browser(boss) as client:
                looked = (await client.post("/admin/system")).text
                packed = await client.post("/admin/system/bundle")
            assert [word for word in words if word not in looked] == []
            with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
                told = json.loads(archive.read("findings.json"))
            assert "no backups yet" in {one["text"] for one in told}, "in English"
            # Each name is one the catalogs know, and no finding is the English one.
            names = {one["name"] for one in told}
            assert names <= set(doctor.NAMES)
            english = {one["text"] for one in told if " " in one["text"]}
            left = [text for text in english if text in looked]
            assert left == [], locale
        assert i18n.current() == "en", "the language of a request ends with it"


@pytest.mark.feature("X-20", "X-45")
def test_the_command_speaks_the_terminals_language_and_english_to_programs(
    tmp_path: Path, database: Path
) -> None:
    def said(*words: str) -> str:
        env = clean_environment(LC_ALL="de_DE.UTF-8", PYTHONUTF8="1")
        command = [sys.executable, "-m", "app", "doctor", "--data", str(database.parent), *words]
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        return done.stdout

    assert "warn Sicherungen: noch keine Sicherungen" in said()
    assert "no backups yet" in said("--json")


@pytest.mark.feature("X-45")
async def test_a_proxy_that_keeps_events_back_is_told_from_one_that_lets_go(
    database: Path,
) -> None:
    async with running(database) as house, served_at(house.app) as behind:

        async def hoards(scope: Any, receive: Any, send: Any) -> None:
            async with httpx.AsyncClient(base_url=behind) as client:
                answer = await client.get(scope["path"])
            headers = [(name.lower(), value) for name, value in answer.headers.raw]
            start = {"type": "http.response.start", "status": 200, "headers": headers}
            await send({**start, "headers": [h for h in headers if h[0] != b"transfer-encoding"]})
            await send({"type": "http.response.body", "body": answer.content})

        async with served_at(hoards) as front:
            seen = {}
            for address in (behind, front):
                async for one in doctor_outside.look(address):
                    seen[address, one.name] = one
    assert seen[behind, "events"].state == "ok", seen
    assert seen[front, "events"].state == "bad"
    assert "all at once" in seen[front, "events"].text
    assert "proxy_buffering" in seen[front, "events"].hint


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    with serving(tmp_path / "data") as server:
        yield server.url, tmp_path / "data"


@pytest.mark.feature("X-45")
def test_it_asks_at_the_public_address_beside_a_running_server(served: tuple[str, Path]) -> None:
    url, folder = served
    status, found, printed = examined(folder, HOLDFAST_PUBLIC_URL=url)
    assert status == 0, printed
    assert found["from outside"].state == "ok"
    assert found["events"].state == "ok", found["events"]
    _, found, _ = examined(folder, HOLDFAST_PUBLIC_URL="http://localhost:9")
    assert found["from outside"].state == "warn"
