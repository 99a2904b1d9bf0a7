"""Text of people stays text: every free field, every page that shows it, told apart by a parser.

The content security policy is out of play in the first half: it is the second line, not the first.
"""

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, ConsoleMessage, Dialog, Page

from app.accounts.service import invites, tokens
from app.core import audit
from db import clock
from db.engine import DB
from db.keys import uuid7
from tests.app.house import House, running
from tests.app.web.server import running as served

pytestmark = pytest.mark.anyio

PAYLOADS = [
    "<pwn>",
    "</title><pwn onpwn=1>",
    '"><pwn onpwn=1>',
    "'><pwn onpwn=1>",
    '" onpwn="1',
    "' onpwn='1",
    "`onpwn=1",
    "</script><script>window.pwn=1</script>",
    "<img src=x onerror=window.pwn=1>",
    "<svg/onload=window.pwn=1>",
    "<svg><script>window.pwn=1</script></svg>",
    "javascript:window.pwn=1",
    "{{ 7*191 }}",
    "{% include 'x' %}",
    "<a href=javascript:window.pwn=1>x</a>",
    "<iframe srcdoc='<script>parent.pwn=1</script>'>",
    "<math><mi//xlink:href='data:x,pwn'>",
    "</textarea><pwn>",
    "</datalist></select><pwn>",
    "<!--<pwn>",
    "]]><pwn>",
    "&lt;pwn&gt;",
    "<form action=//evil.example><pwn>",
    "<base href=//evil.example><pwn>",
    "<meta http-equiv=refresh content=0;//evil.example><pwn>",
]
GROWN = ("pwn", "iframe", "base", "math")


class Reader(HTMLParser):
    """Notes elements and attributes that no template of ours has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.grown: list[str] = []
        self._script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        if tag in GROWN:
            self.grown.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc"):
                self.grown.append(name)
            if name in ("href", "src", "action", "formaction") and (
                value or ""
            ).strip().lower().startswith(("javascript:", "data:", "//")):
                self.grown.append(f"{name}={value}")
        if tag == "meta" and dict(attrs).get("http-equiv"):
            self.grown.append("meta")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.grown.append("script text")

    def handle_endtag(self, _tag: str) -> None:
        self._script = False


@pytest.fixture
async def house(database: Path) -> AsyncIterator[House]:
    async with running(database, rate_writes=0) as opened:
        yield opened


async def planted(house: House, payload: str) -> tuple[str, str]:
    """An admin and a user whose every free text is `payload`; their ids."""
    boss = await house.person(f"boss{payload}", role="admin")
    bea = await house.person(f"bea{payload}")
    await DB.execute(
        "UPDATE users SET email = ?, invited_by = ? WHERE id = ?", (payload, boss, bea)
    )
    await invites.create_invite(boss, label=payload[:80])
    await DB.execute("UPDATE invite_tokens SET email = ?", (payload,))
    for owner in (boss, bea):
        await tokens.create_token(
            owner, name=payload[:80], scopes=["jobs:read"], possible=["jobs:read"]
        )
        await DB.execute(
            "INSERT INTO passkeys (id, user_id, credential_id, public_key, name)"
            " VALUES (?, ?, ?, 'x', ?)",
            (uuid7(), owner, uuid7(), payload),
        )
        await DB.execute(
            "INSERT INTO sessions (id, userId, tokenHash, expiresAt, authLevel, ip, userAgent)"
            " VALUES (?, ?, ?, '2999-01-01T00:00:00.000Z', 1, ?, ?)",
            (uuid7(), owner, (uuid7() * 2)[:64], payload, payload),
        )
        now = clock.ms()
        await DB.execute(
            "INSERT INTO queueJobs (id, type, state, runAt, ownerUserId, label, lastError,"
            " errorCode, createdAt, updatedAt, finishedAt)"
            " VALUES (?1, 'x.y', 'failed', ?2, ?3, ?4, ?4, ?4, ?2, ?2, ?2)",
            (uuid7(), now, owner, payload),
        )
    line = {"object_type": payload, "object_id": payload}
    await audit.record("x.y", actor_id=bea, ip=payload, detail={"a": payload}, **line)
    return boss, bea


def places(bea: str, payload: str) -> list[str]:
    text = quote(payload, safe="")
    return [
        "/",
        "/account",
        "/account/security",
        "/account/tokens",
        "/account/data",
        "/jobs",
        f"/jobs?q={text}",
        "/admin/users",
        f"/admin/users?q={text}&state={text}",
        f"/admin/users/{bea}",
        f"/admin/invites?q={text}&state={text}",
        "/admin/audit",
        f"/admin/audit?who={text}&what={text}&ip={text}&since={text}",
        "/admin/vault",
        "/admin/queue",
        f"/admin/queue/jobs?q={text}",
        f"/account/confirm?next={text}",
        f"/{text}",
    ]


async def test_no_text_of_a_person_becomes_a_part_of_a_page(house: House) -> None:
    wrong: list[tuple[str, str, list[str]]] = []
    shown = 0
    for payload in PAYLOADS[::3]:
        boss, bea = await planted(house, payload)
        async with await house.browser(boss) as client:
            for path in places(bea, payload):
                answer = await client.get(path)
                assert answer.status_code < 500, path
                grown = Reader(answer.text).grown
                shown += "pwn" in answer.text
                if grown or "1337" in answer.text.replace("&#39;", ""):
                    wrong.append((payload, path, grown))
        await DB.execute("DELETE FROM invite_tokens")
        await DB.execute("DELETE FROM queueJobs")
        await DB.execute("UPDATE users SET login = id, email = NULL")
    assert not wrong
    assert shown > 50, "the texts really stood on the pages"


async def test_what_was_typed_comes_back_as_text(house: House) -> None:
    wrong: list[tuple[str, str]] = []
    boss = await house.person("boss", role="admin")
    async with await house.browser(boss) as client, house.client() as stranger:
        for payload in PAYLOADS[::2]:
            for path, form in {
                "/admin/invites": {"label": payload * 9, "email": payload, "hours": payload},
                "/admin/invites/many": {"lines": payload, "hours": payload},
                "/account": {
                    "part": "look",
                    "locale": payload,
                    "theme": payload,
                    "time_zone": payload,
                },
                "/account/tokens": {"name": payload * 9, "days": payload, "addresses": payload},
                f"/admin/users/{boss}": {"part": "close", "login": payload},
                "/account/confirm": {"password": payload, "next": payload},
            }.items():
                answer = await client.post(path, data=form)
                assert answer.status_code < 500, path
                if Reader(answer.text).grown:
                    wrong.append((payload, path))
            for path, form in {
                "/login": {"login": payload, "password": payload, "next": payload},
                "/join": {"code": payload},
                "/setup": {"token": payload, "login": payload, "password": payload},
            }.items():
                answer = await stranger.post(path, data=form)
                if Reader(answer.text).grown:
                    wrong.append((payload, path))
    assert not wrong


def test_the_parser_sees_what_it_must() -> None:
    """The control: unescaped, nearly every one of them would have grown into something."""
    missed = [one for one in PAYLOADS if not Reader(f'<p title="{one}">{one}</p>').grown]
    assert len(missed) <= 8, missed


def overheard(page: Page) -> list[str]:
    """What the page says on its console from now on, and whether it opened a dialog."""
    said: list[str] = []

    def line(message: ConsoleMessage) -> None:
        said.append(message.text)

    def dialog(_dialog: Dialog) -> None:
        said.append("dialog")

    page.on("console", line)
    page.on("dialog", dialog)
    return said


async def test_ten_of_them_do_nothing_in_a_real_browser(house: House, browser: Browser) -> None:
    context = None
    async with served(house.app) as url:
        try:
            for payload in [one for one in PAYLOADS if "window.pwn" in one or "parent" in one][:10]:
                boss, bea = await planted(house, payload)
                context = await browser.new_context(base_url=url)
                token = await house.session(boss)
                await context.add_cookies([{"name": "holdfast", "value": token, "url": url}])
                page = await context.new_page()
                said = overheard(page)
                for path in (f"/admin/users/{bea}", "/admin/audit", "/account/tokens", "/account"):
                    await page.goto(path)
                    assert await page.evaluate("window.pwn === undefined")
                refused = [one for one in said if "Content Security Policy" in one]
                assert refused == [], "nothing even tried"
                assert "dialog" not in said
                await context.close()
                await DB.execute("UPDATE users SET login = id, email = NULL")
        finally:
            if context is not None:
                await context.close()


async def test_a_script_slipped_into_a_fragment_is_blocked(house: House, browser: Browser) -> None:
    """The second line: were a text ever not escaped, its script still would not run."""
    boss = await house.person("boss", role="admin")
    async with served(house.app) as url:
        context = await browser.new_context(base_url=url)
        try:
            token = await house.session(boss)
            await context.add_cookies([{"name": "holdfast", "value": token, "url": url}])
            page = await context.new_page()

            async def slip(route: object) -> None:
                answer = await route.fetch()  # type: ignore[attr-defined]
                text = (await answer.text()).replace(
                    "</h2>", "</h2><script>window.pwn=1</script><img src=x onerror=window.pwn=1>"
                )
                await route.fulfill(response=answer, body=text)  # type: ignore[attr-defined]

            await page.route("**/account/security/app/offer", slip)
            await page.goto("/account/security")
            await page.click("#security-app form button")
            await page.wait_for_selector("#app-key")
            assert await page.evaluate("window.pwn === undefined")
        finally:
            await context.close()
