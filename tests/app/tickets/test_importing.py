"""The import from the origin's database and from a folder of the plain script."""

import hashlib
import os
from pathlib import Path
from typing import Any

import apsw
import bcrypt
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.errors import Invalid
from app.tickets.origin import decrypt
from app.tickets.service import checks, devices, importing, library, logins
from db.engine import DB
from tests.app.tickets.desk import Desk

pytestmark = pytest.mark.anyio

KEY = "a short key"
SLOW = f"$2b$31${'x' * 53}"  # would keep a processor busy for days
PASSWORD = "Königsplatz, " + "nine green lanterns " * 5  # more bytes than bcrypt looks at
ORIGIN = """
CREATE TABLE users (id TEXT PRIMARY KEY, login TEXT, email TEXT, password_hash TEXT, role TEXT,
  flags TEXT, device_profile TEXT, output_dir TEXT, locale TEXT, is_active INTEGER,
  auto_download_enabled INTEGER, deleted_at TEXT, created_at TEXT);
CREATE TABLE invite_tokens (token TEXT PRIMARY KEY, created_by TEXT, used_by TEXT, expires_at TEXT,
  created_at TEXT);
CREATE TABLE user_credentials (user_id TEXT PRIMARY KEY, uk_number TEXT, uk_password_encrypted TEXT,
  last_login_status TEXT, last_login_at TEXT, created_at TEXT);
CREATE TABLE device_profiles (id TEXT PRIMARY KEY, user_id TEXT, name TEXT, user_agent TEXT,
  viewport_width INTEGER, viewport_height INTEGER, locale TEXT, timezone TEXT, proxy_url TEXT,
  geolocation_latitude REAL, geolocation_longitude REAL);
CREATE TABLE tickets (id INTEGER PRIMARY KEY, user_id TEXT, ticket_version TEXT, content_hash TEXT,
  file_path TEXT, status TEXT, downloaded_at TEXT, created_at TEXT);
CREATE TABLE download_history (id INTEGER PRIMARY KEY, user_id TEXT, device_profile TEXT,
  status TEXT, message TEXT, error_message TEXT, downloaded_at TEXT);
CREATE TABLE base_ticket_state (id INTEGER PRIMARY KEY, base_ticket_hash TEXT,
  last_checked_at TEXT);
"""


def encrypted(password: str) -> str:
    nonce = os.urandom(16)
    box = AESGCM(KEY.ljust(32, "0").encode()).encrypt(nonce, password.encode(), None)
    return f"{nonce.hex()}:{box[-16:].hex()}:{box[:-16].hex()}"


def hashed(password: str) -> str:
    """As bcryptjs does it, but cheaper."""
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()


def fill(path: Path, rows: dict[str, list[tuple[Any, ...]]]) -> Path:
    connection = apsw.Connection(str(path))
    for statement in ORIGIN.split(";"):
        connection.execute(statement)
    for table, values in rows.items():
        for row in values:
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    connection.close()
    return path


async def page_of(desk: Desk) -> bytes:
    """A real ticket page of the stand-in, as the origin would have kept it."""
    user_id = await desk.student(7)
    await desk.run(user_id)
    path = await DB.value("SELECT file_path FROM tickets WHERE user_id = ?", (user_id,))
    return (desk.house.app.settings.data_dir / str(path)).read_bytes()


@pytest.mark.feature("T-66")
async def test_everything_comes_over_once(desk: Desk, tmp_path: Path) -> None:
    page = await page_of(desk)
    downloads = tmp_path / "downloads" / "u1"
    downloads.mkdir(parents=True)
    (downloads / "a.html").write_bytes(page)
    (downloads / "b.html").write_bytes(page.replace(b"</body>", b"<!-- again --></body>"))
    moved = "http://jana:s%3Acret@proxy.example:3128"
    old = fill(
        tmp_path / "app.db",
        {
            "users": [
                ("u1", "jana@example.org", "jana@example.org", hashed("x"), "user", "no json", "p1",
                 "/srv/tickets", "fr", 1, 1, None, "2026-01-02 03:04:05"),
                ("u2", "student7", None, None, "boss", "{}", "mobile_android", None, "ru", 1, 0,
                 None, "2026-01-02T03:04:05.000Z"),
                ("u3", "gone", None, None, "user", "{}", None, None, "en", 0, 0, "2026-02-01",
                 None),
                ("u4", "admin", None, hashed("admin"), "admin", "{}", None, None, "de", 1, 0, None,
                 None),
            ],
            "invite_tokens": [("open-link", "u4", None, "2030-01-01T00:00:00.000Z", "2026-01-01")],
            "user_credentials": [
                ("u1", "uk000001", encrypted("pw-1"), "duplicate", "2026-03-01 00:00:00", None),
                ("u4", "uk000004", "00:00:00", "error", None, None),
            ],
            "device_profiles": [
                ("p1", "u1", "Phone", "Mozilla/5.0", 390, 844, "de-DE", "Europe/Berlin", moved,
                 0, 9)
            ],
            "tickets": [
                (1, "u1", "x", "y", "/app/downloads/u1/a.html", "duplicate", "2026-11-02 01:00:00",
                 "2026-11-02 01:00:00"),
                (2, "u1", "z", "y", "/app/downloads/u1/b.html", "success",
                 "2026-11-03T01:00:00.000Z", "2026-11-03T01:00:00.000Z"),
                (3, "u1", "w", "y", "/app/downloads/u1/lost.html", "success", None, None),
            ],
            "download_history": [
                (1, "u1", "mobile_android", "success", "ok", None, "2026-11-02 01:00:00"),
                (2, "u1", "strange", "weird", None, "boom", "2026-11-03T01:00:00.000Z"),
            ],
            "base_ticket_state": [(1, "abc", "2026-11-01 00:05:00")],
        },
    )  # fmt: skip
    before = old.read_bytes()
    dry = await importing.import_origin(old, downloads.parent, KEY, dry_run=True, on_clash="rename")
    assert await DB.value("SELECT count(*) FROM users WHERE id = 'u1'") == 0

    report = await importing.import_origin(old, downloads.parent, KEY, on_clash="rename")
    assert report.made == {
        "users": 3,
        "invites": 1,
        "logins": 1,
        "devices": 1,
        "tickets": 1,
        "attempts": 2,
    }
    # gone, an absolute folder, the shipped password, a login without key, a lost file
    assert len(report.skipped) == 5
    assert (dry.made, dry.skipped) == (report.made, report.skipped)  # the preview said it all
    jana = await DB.one("SELECT * FROM users WHERE id = 'u1'")
    assert jana is not None
    assert (jana["flags"], jana["locale"], jana["output_dir"]) == ("{}", "en", None)
    assert jana["created_at"] == "2026-01-02T03:04:05.000Z"
    assert await DB.value("SELECT login FROM users WHERE id = 'u2'") == "student7-2"
    assert await DB.value("SELECT role FROM users WHERE id = 'u2'") == "user"
    assert await DB.value("SELECT password_hash FROM users WHERE id = 'u4'") is None
    token = hashlib.sha256(b"open-link").hexdigest()
    assert await DB.value("SELECT 1 FROM invite_tokens WHERE token = ?", (token,)) == 1
    ticket = await library.current_ticket("u1")
    assert ticket is not None
    assert ticket.holder == "Test Person 7"
    assert (ticket.first_seen, ticket.fetched) == (
        *("2026-11-02T01:00:00.000Z", "2026-11-03T01:00:00.000Z"),
    )
    device = await devices.get_device("u1", "p1")
    assert (device.proxy_url, device.proxy_login) == ("http://proxy.example:3128", "jana")
    assert (device.latitude, device.longitude) == ("0", "9")
    statuses = await DB.all(
        "SELECT status FROM ticket_download_history WHERE user_id = 'u1' ORDER BY id"
    )
    assert [row["status"] for row in statuses] == ["success", "error"]

    again = await importing.import_origin(old, downloads.parent, KEY, on_clash="rename")
    assert not +again.made
    assert old.read_bytes() == before
    login = await logins.find_login("u1")
    assert login is not None
    assert login.status == "ok"
    await DB.execute("UPDATE users SET device_profile = NULL WHERE id = 'u1'")
    await checks.order_check("u1")
    await desk.idle()
    assert (await desk.last("u1"))["outcome"] == "ok"  # the password works at the portal


@pytest.mark.feature("T-66")
async def test_an_imported_password_opens_once_and_is_then_hashed_our_way(
    desk: Desk, tmp_path: Path
) -> None:
    rows: list[tuple[Any, ...]] = [
        (name, name, None, stored, "user", "{}", None, None, "de", 1, 0, None, None)
        for name, stored in (("jana", hashed(PASSWORD)), ("odd", "sha1$abc"), ("slow", SLOW))
    ]
    report = await importing.import_origin(fill(tmp_path / "app.db", {"users": rows}), None, KEY)
    assert [line.partition(":")[0] for line in report.skipped] == [
        *("password of odd", "password of slow"),
    ]
    stored = "SELECT password_hash FROM users WHERE id = 'jana'"
    async with desk.house.client() as browser:
        wrong = {"login": "jana", "password": PASSWORD[:60]}
        assert (await browser.post("/login", data=wrong)).status_code == 422
        assert str(await DB.value(stored)).startswith("$2b$")
        right = {"login": "jana", "password": PASSWORD}
        assert (await browser.post("/login", data=right)).status_code == 303
    renewed = str(await DB.value(stored))
    assert renewed.startswith("$argon2id$")
    async with desk.house.client() as browser:  # now every byte counts
        cut = {"login": "jana", "password": PASSWORD[:75]}
        assert (await browser.post("/login", data=cut)).status_code == 422
        assert (await browser.post("/login", data=right)).status_code == 303
    assert await DB.value(stored) == renewed


@pytest.mark.feature("T-67")
async def test_a_folder_of_the_plain_script_comes_over(desk: Desk, tmp_path: Path) -> None:
    page = await page_of(desk)
    person = await desk.house.person("leander")
    (tmp_path / "ticket-2026-04-01T00-05-12-123Z.html").write_bytes(page)
    (tmp_path / "ticket-2026-04-01T01-05-12-123Z.html").write_bytes(page)
    (tmp_path / "ticket-2026-05-01T00-05-12-7Z.html").write_bytes(page.replace(b"Test", b"Tom"))
    (tmp_path / "notes.txt").write_text("no ticket")
    report = await importing.import_folder(tmp_path, "leander")
    assert (report.made["tickets"], report.skipped) == (2, [])
    rows = await library.list_versions(person)
    assert sorted(row.first_seen for row in rows) == [
        "2026-04-01T00:05:12.123Z",
        "2026-05-01T00:05:12.700Z",
    ]
    again = await importing.import_folder(tmp_path, "leander")
    assert (again.made["tickets"], again.there["tickets"]) == (0, 2)
    with pytest.raises(Invalid):
        await importing.import_folder(tmp_path, "nobody")


async def test_what_is_no_database_of_the_origin_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("hello " * 1000)
    for path in (tmp_path / "text.db", tmp_path / "missing.db"):
        with pytest.raises(Invalid):
            await importing.import_origin(path, None, KEY)
    assert desk.posts() == 0


CUT = pytest.param(encrypted("x")[:-2], id="cut")  # a fresh nonce each time is no name for a test


@pytest.mark.parametrize("stored", ["", "a:b", "00:00:00", "zz:zz:zz", CUT])
async def test_a_broken_secret_is_none(stored: str) -> None:
    assert decrypt(stored, KEY) is None
