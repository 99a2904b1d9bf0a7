"""Text of people stays text: every free field, every page that shows it, told apart by a parser.

The content security policy is out of play in the first half: it is the second line, not the first.
"""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.async_api import Browser, ConsoleMessage, Dialog, Page

from app.accounts.service import invites, tokens
from app.core import audit, notify
from app.core.sheets import sheet
from db import clock
from db.engine import DB
from db.keys import uuid7
from tests.app.house import House, running
from tests.app.web.server import running as served
from tests.reliability.payloads import LIVE, PAYLOADS, Reader, packed

pytestmark = pytest.mark.anyio

TEXTS = packed()


@pytest.fixture
async def house(database: Path) -> AsyncIterator[House]:
    async with running(database, rate_writes=0) as opened:
        yield opened


async def planted(house: House) -> tuple[str, list[str]]:
    """An admin and users whose every free text is full of payloads; their ids.

    The admin has all of them, each user the texts of one line.
    """
    boss = await house.person(f"boss{TEXTS[0]}", role="admin")
    people = []
    for text in TEXTS:
        person = await house.person(f"bea{text}")
        people.append(person)
        await DB.execute(
            "UPDATE users SET email = ?, invited_by = ? WHERE id = ?", (text, boss, person)
        )
        for owner in (boss, person):
            await _own(owner, text)
        await notify.tell(boss, "x", text, link=text, dedupe=text)
    for text in packed(80):
        await invites.create_invite(boss)
        await DB.execute(
            "UPDATE invite_tokens SET label = ?1, email = ?1 WHERE email IS NULL", (text,)
        )
        await DB.execute(
            "INSERT INTO device_profiles (id, user_id, name, user_agent, viewport_width,"
            " viewport_height) VALUES (?, ?, ?, ?, 800, 600)",
            (uuid7(), boss, text, "".join(sign for sign in text if " " <= sign <= "~")),
        )
    for number, text in enumerate(TEXTS):  # last, so that the log's first page has them
        line = {"object_type": text, "object_id": text}
        await audit.record(
            f"x.y{number}", actor_id=people[number], ip=text, detail={"a": text, text: "b"}, **line
        )
    return boss, people


async def _own(owner: str, text: str) -> None:
    """A token, a passkey, a session and a job of that person, full of it."""
    made = await tokens.create_token(owner, name="x", scopes=["jobs:read"], possible=["jobs:read"])
    await DB.execute("UPDATE api_tokens SET name = ? WHERE id = ?", (text, made.id))
    await DB.execute(
        "INSERT INTO passkeys (id, user_id, credential_id, public_key, name)"
        " VALUES (?, ?, ?, 'x', ?)",
        (uuid7(), owner, uuid7(), text),
    )
    await DB.execute(
        "INSERT INTO sessions (id, userId, tokenHash, expiresAt, authLevel, ip, userAgent)"
        " VALUES (?, ?, ?, '2999-01-01T00:00:00.000Z', 1, ?, ?)",
        (uuid7(), owner, (uuid7() * 2)[:64], text, text),
    )
    await DB.execute(
        "INSERT INTO queueJobs (id, type, state, runAt, ownerUserId, label, lastError,"
        " errorCode, createdAt, updatedAt, finishedAt)"
        " VALUES (?1, 'x.y', 'failed', ?2, ?3, ?4, ?4, ?4, ?2, ?2, ?2)",
        (uuid7(), clock.ms(), owner, text),
    )
    await DB.execute(
        "INSERT INTO tickets (user_id, ticket_version, content_hash, file_path, status, product,"
        " holder_name) VALUES (?1, ?2, ?3, 'tickets/x/y/raw.html', 'success', ?4, ?4)",
        (owner, uuid7(), (uuid7() * 2)[:64], text),
    )
    await DB.execute(
        "INSERT INTO firmware_devices (user_id, nickname, model, csc) VALUES (?, ?, ?, 'EUX')",
        (owner, text, f"SM-{TEXTS.index(text)}"),
    )
    await DB.execute(
        "INSERT INTO imei_log (user_id, imei, model, csc, version_code, device_version)"
        " VALUES (?, '350000000000006', 'SM-X', 'EUX', 'a/b/c/d', ?)",
        (owner, text),
    )


PLACES = [
    "/",
    "/account",
    "/account/security",
    "/account/tokens",
    "/account/data",
    "/jobs",
    "/notifications",
    "/notifications/new",
    "/palette?q=p",
    "/admin/users",
    "/admin/invites",
    "/admin/audit",
    "/admin/vault",
    "/admin/queue",
    "/admin/queue/jobs",
    "/tickets",
    "/tickets/devices",
    "/tickets/list",
    "/tickets/show",
    "/tickets/history",
    "/firmware",
    "/firmware/devices",
    "/firmware/queries",
    "/admin/tickets",
    "/admin/tickets/users",
    "/admin/firmware",
]


# Where all of them must be seen.
FULL = {
    *("/account", "/account/security", "/account/tokens", "/jobs", "/notifications"),
    *("/admin/users", "/admin/invites", "/admin/audit", "/admin/queue/jobs"),
    *("/tickets/list", "/tickets/devices", "/admin/tickets/users"),
    *("/firmware/devices", "/firmware/queries"),
}


def asked(text: str) -> list[str]:
    """Addresses that say a text themselves."""
    text = quote(text, safe="")
    return [
        f"/jobs?q={text}",
        f"/palette?q={text}",
        f"/admin/users?q={text}&state={text}",
        f"/admin/invites?q={text}&state={text}",
        f"/admin/audit?who={text}&what={text}&ip={text}&since={text}",
        f"/admin/queue/jobs?q={text}",
        f"/account/confirm?next={text}",
        f"/{text}",
    ]


def wrong_in(text: str) -> list[str]:
    """What grew on a page that must hold texts only."""
    verbatim = [one for one in PAYLOADS if "<" in one and one in text]
    computed = ["1337"] if "1337" in text else []
    return Reader(text).grown + verbatim + computed


@pytest.mark.parametrize("part", [False, True], ids=["pages", "fragments"])
async def test_no_text_of_a_person_becomes_a_part_of_a_page(house: House, part: bool) -> None:
    """Where all are shown, each is shown as it was written, to the letter."""
    boss, people = await planted(house)
    paths = [*PLACES, *(f"/admin/users/{one}" for one in people)]
    paths += [path for text in (TEXTS[::4] if part else TEXTS) for path in asked(text)]
    wrong: list[tuple[str, list[str]]] = []
    shown = dict.fromkeys(PLACES, "")
    async with await house.browser(boss) as client:
        if part:
            client.headers["HX-Request"] = "true"
        for path in paths:
            answer = await client.get(path)
            assert answer.status_code < 500, path
            shown[path] = Reader(answer.text).shown
            if grown := wrong_in(answer.text):
                wrong.append((path, grown))
            assert "pwn" not in str(answer.headers), path
    assert not wrong
    own = {"/account/security", "/account/tokens"}
    for path in FULL - own if part else FULL:
        assert [one for one in PAYLOADS if one not in shown[path]] == [], path
    together = " ".join(shown[f"/admin/users/{one}"] for one in people)
    assert [one for one in PAYLOADS if one not in together] == []


async def test_a_sheet_holds_them_as_words(house: House) -> None:
    boss, _people = await planted(house)
    async with await house.browser(boss) as client:
        for path in (
            "/admin/users/csv",
            "/admin/invites/csv",
            "/admin/tickets/users/csv",
        ):
            answer = await client.get(path)
            assert answer.headers["content-type"].startswith("text/csv")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-disposition"].startswith("attachment")
            cells = [cell for row in csv.reader(io.StringIO(answer.text)) for cell in row]
            together = " ".join(cells)
            assert [one for one in PAYLOADS if one not in together] == [], path
            assert [one for one in cells if one.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    rows = csv.reader(io.StringIO(sheet(["x"], [[one] for one in PAYLOADS]).decode(), newline=""))
    back = [row[0] for row in rows][1:]
    assert [one.removeprefix("'") for one in back if one[1:] in PAYLOADS or one in PAYLOADS] == [
        one.removeprefix("'") for one in PAYLOADS
    ]
    formulas = [one for one in PAYLOADS if one[0] in "=+-@"]
    assert formulas
    assert all(f"'{one}" in back for one in formulas), "the control: some had to be held back"


async def test_the_stream_of_names_carries_none_of_them(house: House) -> None:
    boss, people = await planted(house)
    token = await house.session(boss)
    heard = ""
    async with (
        served(house.app) as url,
        httpx.AsyncClient(base_url=url, cookies={"holdfast": token}) as client,
        client.stream("GET", "/live", headers={"Last-Event-ID": "<pwn>"}) as live,
    ):
        async for line in live.aiter_lines():
            heard += f"{line}\n"
            if line == "event: hello":
                await DB.execute(
                    "UPDATE queueJobs SET label = label || '<pwn>' WHERE ownerUserId = ?", (boss,)
                )
                await DB.execute(
                    "UPDATE users SET email = ? || id WHERE id = ?", ("<pwn>", people[0])
                )
            if "event: queueJobs" in line or "event: jobs" in line:
                break
    assert "event: " in heard.partition("event: hello")[2], "the control: the change was told"
    assert "pwn" not in heard
    assert "<" not in heard


async def test_what_was_typed_comes_back_as_text(house: House) -> None:
    wrong: list[tuple[str, str]] = []
    boss = await house.person("boss", role="admin")
    async with await house.browser(boss) as client, house.client() as stranger:
        for payload in TEXTS:
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
                if wrong_in(answer.text):
                    wrong.append((payload, path))
            for path, form in {
                "/login": {"login": payload, "password": payload, "next": payload},
                "/join": {"code": payload},
                "/setup": {"token": payload, "login": payload, "password": payload},
            }.items():
                answer = await stranger.post(path, data=form)
                if wrong_in(answer.text):
                    wrong.append((payload, path))
    assert not wrong


def test_the_parser_sees_what_it_must() -> None:
    """The control: unescaped, nearly every one of them would have grown into something."""
    assert len(set(PAYLOADS)) >= 60
    missed = [one for one in PAYLOADS if not Reader(f'<p title="{one}">{one}</p>').grown]
    assert len(missed) <= 11, missed
    # an open comment is text to some versions of the parser, and ends at once for others
    assert {one for one in missed if "<pwn>" in one} <= {"<!--<pwn>"}, "seen as it was written"
    for text in TEXTS:
        assert wrong_in(text)


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


async def test_none_of_them_does_anything_in_a_real_browser(house: House, browser: Browser) -> None:
    """All of them at once, on whole pages, in parts that htmx fetches, and in toasts."""
    boss, people = await planted(house)
    async with served(house.app) as url:
        context = await browser.new_context(base_url=url)
        try:
            token = await house.session(boss)
            await context.add_cookies([{"name": "holdfast", "value": token, "url": url}])
            page = await context.new_page()
            said = overheard(page)
            for path in (
                "/admin/users",
                f"/admin/users/{people[0]}",
                "/admin/invites",
                "/admin/audit",
                "/jobs",
                "/account/tokens",
                "/account",
            ):
                await page.goto(path)
                text = await page.evaluate("document.documentElement.textContent")
                assert "onerror=window.pwn=1" in text, path
                assert await page.evaluate("window.pwn === undefined"), path
                assert await page.evaluate("document.querySelectorAll('pwn').length") == 0, path
            for path in ("/notifications/new", "/jobs", "/admin/users"):
                await page.evaluate(
                    "path => htmx.ajax('GET', path, {target: '#toasts', swap: 'innerHTML'})", path
                )
                await page.wait_for_function(
                    "document.getElementById('toasts').textContent.includes('window.pwn=1')"
                )
            for text in TEXTS:
                await page.evaluate(
                    "text => document.body.dispatchEvent("
                    "new CustomEvent('toast', {detail: {text}, bubbles: true}))",
                    text,
                )
            toasts = await page.evaluate("document.getElementById('toasts').textContent")
            assert [one for one in PAYLOADS if one not in toasts] == []
            assert await page.evaluate("window.pwn === undefined")
            refused = [one for one in said if "Content Security Policy" in one]
            assert refused == [], "nothing even tried"
            assert "dialog" not in said
        finally:
            await context.close()


async def test_the_live_ones_run_where_nobody_escapes_them(browser: Browser) -> None:
    """The control: each of them, bare, in a frame of its own."""
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.evaluate(
            """texts => document.body.append(...texts.map(text => {
                const outer = document.createElement('iframe');
                outer.srcdoc = `<p title="">${text}</p>`;
                return outer;
            }))""",
            LIVE,
        )
        for number in range(len(LIVE)):
            await page.wait_for_function("n => window[n].pwn === 1", arg=number)
    finally:
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
