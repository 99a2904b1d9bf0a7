"""Every secret of a whole life of the program, searched for wherever it might have been left.

S3 and S4 of the plan: the database, its WAL, a copy, archives, logs, pages and answers.
"""

import base64
import io
import logging
import re
import secrets
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import anyio
import apsw
import httpx
import pyotp
import pytest

from app.accounts.service import closing, passwords, rekey
from app.core import logs, settings, vault
from app.core.secret import MASK
from db import clock
from db.engine import DB
from jobs.context import Context
from jobs.enqueue import enqueue
from jobs.payload import Payload
from jobs.registry import Registry
from jobs.worker import Worker
from tests.app.accounts.conftest import GOOD
from tests.app.tickets.desk import Desk, opened

pytestmark = pytest.mark.anyio

TOKEN = re.compile(r"hf_[0-9A-Za-z]{8}_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}")


@pytest.fixture
async def desk(database: Path) -> AsyncIterator[Desk]:
    async with opened(database) as desk:
        await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
        yield desk


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """Everything the program logs, at its most talkative."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    logs.setup("json", "debug", stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)


def canary(what: str) -> str:
    return f"{what}-{secrets.token_hex(10)}"


def spellings(secret: str) -> Iterator[bytes]:
    """A secret as a careless program might have written it."""
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield quote(secret, safe="").encode()
    yield secret.encode("utf-16-le")
    for shift in range(3):  # whatever stands before it in the same text
        text = base64.b64encode(b"." * shift + raw)
        yield text[4 if shift else 0 : -4]


def found_in(folder: Path, wanted: dict[str, str]) -> list[tuple[str, str]]:
    hits = []
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.name in ("secret.key", "setup-token"):
            continue
        data = file.read_bytes()
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                data += b"".join(archive.read(name) for name in archive.namelist())
        hits += [(file.name, name) for name in told(data, wanted)]
    return hits


def told(data: bytes, wanted: dict[str, str]) -> list[str]:
    return [name for name, text in wanted.items() if any(one in data for one in spellings(text))]


async def ended(which: str) -> None:
    """Until that job has come to its end."""
    over = f"SELECT 1 FROM queueJobs WHERE {which} AND state IN ('succeeded', 'failed')"
    with anyio.fail_after(30):
        while not await DB.value(over):  # noqa: ASYNC110 - a wait from outside the queue
            await anyio.sleep(0.02)


@dataclass
class Life:
    """A person at a browser, and every secret they met. `shown`: answers that showed some once."""

    client: httpx.AsyncClient
    wanted: dict[str, str] = field(default_factory=dict)
    leaks: list[tuple[str, list[str]]] = field(default_factory=list)

    async def look(self, path: str) -> httpx.Response:
        """A page; none of the secrets so far may be in its body or its headers."""
        answer = await self.client.get(path)
        headers = "".join(f"{name}: {value}" for name, value in answer.headers.items())
        found = told(answer.content + headers.encode(), self.wanted)
        if found:
            self.leaks.append((path, found))
        return answer

    async def send(self, path: str, **form: str) -> httpx.Response:
        answer = await self.client.post(path, data=form)
        assert answer.status_code < 400, (path, answer.status_code, answer.text[-2000:])
        return answer

    def learn(self, name: str, answer: httpx.Response, pattern: str) -> str:
        """Note a secret that this answer, and only this one, was to show."""
        found = re.search(pattern, answer.text)
        assert found, (name, answer.text[:3000])
        self.wanted[name] = found[1]
        return found[1]


@pytest.mark.feature("X-13", "X-36", "X-37")
async def test_no_secret_of_a_whole_life_is_anywhere_in_any_spelling(
    desk: Desk, said: io.StringIO
) -> None:
    boss = await desk.house.person("boss", role="admin")
    hashed = await (await passwords.current_hasher()).hash(GOOD)
    await DB.execute("UPDATE users SET password_hash = ? WHERE id = ?", (hashed, boss))
    async with desk.house.client() as client, desk.house.client() as stranger:
        life = Life(client, {"password": GOOD})
        entered = await life.send("/login", login="boss", password=GOOD)
        life.wanted["session"] = entered.cookies["holdfast"]
        life.wanted["known device"] = entered.cookies["holdfast-known"]
        await store_everywhere(life, boss)
        await make_one_of_each(life, stranger, boss)
        await desk.idle()
        assert await DB.value("SELECT 1 FROM queueJobs WHERE lastError IS NOT NULL"), "some failed"
        await closing.order_export(boss)
        await ended("type LIKE '%export%'")
        job = await DB.one("SELECT id FROM queueJobs WHERE ownerUserId = ? LIMIT 1", (boss,))
        assert job
        for path in (
            *("/", "/account", "/account/security", "/account/tokens", "/account/data", "/jobs"),
            *("/tickets", "/tickets/settings", "/tickets/devices", "/tickets/history"),
            *("/admin/users", f"/admin/users/{boss}", "/admin/invites", "/admin/audit"),
            *("/admin/vault", "/admin/queue", "/admin/queue/jobs", "/admin/tickets/settings"),
            *(f"/jobs/{job['id']}", f"/admin/queue/jobs/{job['id']}", "/notifications", "/nowhere"),
        ):
            assert (await life.look(path)).status_code in (200, 404), path
        for form in ("csv", "json"):
            lines = await life.send("/admin/audit/export", form=form)
            assert told(lines.content, life.wanted) == []
            assert len(lines.content) > 1000
        archive = await life.send("/account/data/archive")
        with zipfile.ZipFile(io.BytesIO(archive.content)) as taken:
            whole = b"".join(taken.read(name) for name in taken.namelist())
        assert told(whole, life.wanted) == []
        assert b"boss" in whole, "the control: one's own is in it"
    assert life.leaks == []
    await rekey.rotate_data(actor_id=boss, kind="user")
    await rekey.reseal_all()
    folder = desk.house.app.settings.data_dir
    copy_database(folder)
    assert len(life.wanted) >= 15, sorted(life.wanted)
    assert found_in(folder, life.wanted) == []
    assert told(said.getvalue().encode(), life.wanted) == []
    # The control: what is no secret is found by the same search, in the file and in the log.
    assert {name for name, _ in found_in(folder, {"a login": "boss"})} >= {"copy.db"}
    assert "http.request" in said.getvalue()


async def store_everywhere(life: Life, boss: str) -> None:
    """Each form that takes a secret is given one, shows it never again, and offers to try it."""
    places = {
        "portal": ("/tickets/settings", "uk_password"),
        "cloud": ("/tickets/settings/push", "push_password"),
        "proxy": ("/tickets/devices/new", "proxy_password"),
        "base": ("/admin/tickets/settings", "tickets.base_password"),
    }
    with_it = {
        "portal": {"uk_number": "uk000001", "agree": "1"},
        "cloud": {"push_url": "https://cloud.example/dav/", "push_login": "jana"},
        "proxy": {
            "name": "Mine",
            "user_agent": "Mozilla/5.0",
            "proxy_url": "http://127.0.0.1:9",
            "proxy_login": "jana",
            "viewport_width": "1366",
            "viewport_height": "768",
            "locale": "de-DE",
            "timezone": "Europe/Berlin",
            "device_scale_factor": "1",
        },
        "base": {},
    }
    for name, (path, one) in places.items():
        life.wanted[name] = canary(name)
        await life.send(path, **{one: life.wanted[name], **with_it[name]})
    again = await life.look("/tickets/settings")
    assert re.search(r'name="uk_password"(?![^>]*value="[^"])', again.text), "an empty field"
    assert re.search(r'action="/tickets/settings/(check|again)"', again.text), "a button to try it"
    sealed = await DB.value(
        "SELECT uk_password_encrypted FROM user_credentials WHERE user_id = ?", (boss,)
    )
    opened = vault.open("user_credentials", "uk_password_encrypted", boss, sealed)
    assert opened.reveal() == life.wanted["portal"], "the control: it is there, sealed"
    tried = await life.client.post("/tickets/settings/check")
    assert tried.status_code in (303, 409), "tried, or refused by the portal just now"
    assert life.wanted["portal"] not in tried.text


async def make_one_of_each(life: Life, stranger: httpx.AsyncClient, boss: str) -> None:
    """Links, tokens, codes and keys: each shown once, used, and not a second time."""
    link = life.learn(
        "invite", await life.send("/admin/invites", label="x"), r"/join/([A-Za-z0-9_-]{43})"
    )
    moved = await stranger.get(f"/join/{link}")
    life.wanted["join cookie"] = moved.cookies["holdfast-join"]
    theirs = canary("words of a guest")
    life.wanted["guest's password"] = theirs
    joined = await stranger.post("/join", data={"login": "bea", "email": "", "password": theirs})
    assert joined.status_code == 303
    life.wanted["guest's session"] = joined.cookies["holdfast"]
    bea = await DB.value("SELECT id FROM users WHERE login = 'bea'")
    made = await life.send(f"/admin/users/{bea}", part="reset")
    reset = life.learn("reset", made, r"/reset/([A-Za-z0-9_-]{43})")
    life.wanted["reset cookie"] = (await stranger.get(f"/reset/{reset}")).cookies["holdfast-reset"]
    made = await life.send("/account/tokens", name="x", scopes="jobs:read", days="9")
    found = TOKEN.search(made.text)
    assert found
    life.wanted["token"] = token = found[0]
    lost = f"/nowhere/{token}?token={token}&password={life.wanted['portal']}"
    for where in (lost, "/api/v1/jobs"):
        await stranger.get(where, headers={"Authorization": f"Bearer {token}"})
    await stranger.post("/login", data={"login": life.wanted["portal"], "password": token})
    offer = await life.send("/account/security/app/offer")
    key = life.learn("totp", offer, r'id="app-key">([A-Z2-7]{32})<')
    code = pyotp.TOTP(key).at(clock.now())
    codes = await life.send("/account/security/app", code=code)
    life.learn("recovery code", codes, r'id="recovery-codes">([a-z2-7-]{27})')
    life.wanted["new session"] = codes.cookies["holdfast"]


def copy_database(folder: Path) -> None:
    """A backup, by SQLite's own means."""
    (folder / "backups").mkdir(exist_ok=True)
    copy = apsw.Connection(str(folder / "backups" / "copy.db"))
    source = apsw.Connection(str(folder / "holdfast.db"), flags=apsw.SQLITE_OPEN_READONLY)
    with copy.backup("main", source, "main") as step:
        step.step()
    source.close()
    copy.close()


class Clumsy(Payload, frozen=True, kw_only=True):
    """Says aloud what it should keep to itself."""

    TYPE: ClassVar[str] = "tests.clumsy"
    MAX_ATTEMPTS: ClassVar[int] = 1


@pytest.mark.feature("X-37")
async def test_what_a_failing_job_says_aloud_is_stored_and_logged_masked(
    desk: Desk, said: io.StringIO, data_dir: Path
) -> None:
    boss = await desk.admin()
    known, typed = canary("opened from the vault"), canary("typed")
    sealed = vault.seal("user_credentials", "uk_password_encrypted", boss, known)
    registry = Registry()

    @registry.handles(Clumsy)
    async def clumsy(_job: Clumsy, ctx: Context) -> None:
        opened = vault.open("user_credentials", "uk_password_encrypted", boss, sealed)
        ctx.log.info("trying " + opened.reveal(), answer=f"password={typed}")  # noqa: G003
        await ctx.progress(50, message=f"with {opened.reveal()}")
        logs.log.warning("clumsy.tried", word=opened.reveal(), api_key=typed)
        raise RuntimeError(f"https://jana:{typed}@h.example/?token={typed} said no to {known}")

    worker = Worker(DB, registry, data_dir, redact=logs.redact)
    await worker.start()
    try:
        job = await enqueue(Clumsy(), owner=boss)
        await ended(f"id = '{job.id}'")
    finally:
        await worker.stop()
    row = await DB.one("SELECT * FROM queueJobs WHERE id = ?", (job.id,))
    lines = await DB.all("SELECT * FROM job_events WHERE job_id = ?", (job.id,))
    wanted = {"known": known, "typed": typed}
    assert row
    assert told(repr((row, lines)).encode(), wanted) == []
    assert MASK in row["lastError"]
    assert "said no to" in row["lastError"], "the rest is still to be read"
    assert MASK in row["stackTrace"]
    assert any(MASK in str(line["message"]) for line in lines)
    assert told(said.getvalue().encode(), wanted) == []
    assert "clumsy.tried" in said.getvalue()
    async with await desk.house.browser(boss) as client:
        shown = await client.get(f"/admin/queue/jobs/{job.id}")
    assert shown.status_code == 200
    assert "said no to" in shown.text
    assert told(shown.content, wanted) == []
