"""`holdfast doctor`: real processes on a real folder, healthy and with one thing wrong."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from app.accounts.service import setup
from app.accounts.service.passwords import Hasher
from app.core import audit, doctor, settings, vault
from app.core.doctor import Finding
from app.core.ring import RING_FILE, format_ring, key_id
from app.core.ring import RingKey as Key
from db.engine import DB
from tests.app.accounts.conftest import GOOD
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
    _, found, _ = examined(folder, HOLDFAST_PUBLIC_URL="http://localhost:9")
    assert found["from outside"].state == "warn"
