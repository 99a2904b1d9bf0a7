"""Passkeys with Chromium's own virtual authenticator, and what is refused of what it says."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from playwright.async_api import Browser, CDPSession, Page, expect

from app.accounts.service import passkeys, passwordless, passwords, sessions, signin
from app.accounts.service.factors import CodeRefused
from app.accounts.service.passkeys import Place
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignedIn, SignInFailed
from app.core import settings
from db.engine import DB
from tests.app.accounts.conftest import GOOD
from tests.app.house import House
from tests.app.house import running as house_running
from tests.app.web.server import running as served

pytestmark = pytest.mark.anyio

HERE = Caller(ip="127.0.0.1")


@pytest.fixture
async def house(database: Path) -> AsyncIterator[House]:
    async with house_running(database, rate_writes=0) as opened:
        await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
        yield opened


@asynccontextmanager
async def authenticator(browser: Browser, url: str) -> AsyncIterator[tuple[Page, CDPSession, str]]:
    """A page on localhost whose browser holds a key that says yes to everything."""
    context = await browser.new_context(base_url=url.replace("127.0.0.1", "localhost"))
    try:
        page = await context.new_page()
        cdp = await context.new_cdp_session(page)
        await cdp.send("WebAuthn.enable")
        made = await cdp.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        yield page, cdp, made["authenticatorId"]
    finally:
        await context.close()


async def person(house: House) -> str:
    user_id = await house.person("bea")
    hasher = await passwords.current_hasher()
    hashed = await hasher.hash(GOOD)
    await DB.execute("UPDATE users SET password_hash = ? WHERE id = ?", (hashed, user_id))
    return user_id


async def sign_in(page: Page, path: str = "/login") -> None:
    await page.goto(path)
    await page.fill("#login", "bea")
    await page.fill("#password", GOOD)
    await page.click("#login-form button[type=submit]")


async def make_one(page: Page, name: str) -> None:
    await page.goto("/account/security")
    await page.fill("#passkey-form #name", name)
    await page.click("#passkey-form button[type=submit]")
    await page.wait_for_selector("#recovery-codes, #security-passkeys li")


async def shown_by(page: Page, asked: dict[str, Any]) -> dict[str, Any]:
    """What the browser's key says to such a question."""
    shown: dict[str, Any] = await page.evaluate(
        "async (asked) => (await navigator.credentials.get({publicKey:"
        " PublicKeyCredential.parseRequestOptionsFromJSON(asked)})).toJSON()",
        asked,
    )
    return shown


@pytest.mark.feature("X-06")
async def test_a_passkey_is_made_and_lets_its_owner_in(house: House, browser: Browser) -> None:
    user_id = await person(house)
    async with (
        served(house.app) as url,
        authenticator(browser, url) as (page, _cdp, _key),
    ):
        await sign_in(page)
        await make_one(page, "my laptop")
        assert await DB.value("SELECT name FROM passkeys WHERE user_id = ?", (user_id,)) == (
            "my laptop"
        )
        await page.context.clear_cookies()

        await sign_in(page, "/login?next=/account")
        await page.wait_for_url("**/login/second?next=/account")
        await page.click("#passkey-form button")
        await page.wait_for_url(re.compile(r"localhost:\d+/account$"))
        assert await DB.value("SELECT authLevel FROM sessions") == 2
        assert await DB.value("SELECT sign_count FROM passkeys") > 0

        # Another copy of the key has been further than this one.
        await DB.execute("UPDATE passkeys SET sign_count = 1000")
        await page.context.clear_cookies()
        await sign_in(page)
        await page.wait_for_url("**/login/second")
        await page.click("#passkey-form button")
        await page.wait_for_selector("#second-form .notice--bad")
        assert await DB.value("SELECT sign_count FROM passkeys") == 1000
        told = await DB.all("SELECT action FROM audit_log WHERE action = 'factor.count_back'")
        assert len(told) == 1


async def test_no_answer_counts_but_the_one_that_was_asked_for(
    house: House, browser: Browser
) -> None:
    """Another's challenge, an old one, another origin or place, another's key: all refused."""
    user_id = await person(house)
    async with (
        served(house.app) as url,
        authenticator(browser, url) as (page, _cdp, _key),
    ):
        await sign_in(page)
        await make_one(page, "my laptop")
        origin = url.replace("127.0.0.1", "localhost")
        place = Place(origin)

        async def half() -> str:
            entered = await signin.sign_in("bea", GOOD, HERE)
            visit = await sessions.read_session(entered.token)
            assert visit is not None
            return visit.session_id

        async def signed(session_id: str) -> str:
            asked = await passkeys.ask(user_id, session_id, place)
            return json.dumps(await shown_by(page, asked))

        async def refused(session_id: str, shown: str, where: Place = place) -> None:
            with pytest.raises(CodeRefused):
                await passkeys.pass_key(session_id, user_id, shown, where, HERE)

        mine, other = await half(), await half()
        shown = await signed(mine)
        await refused(other, shown)
        await refused(mine, shown, Place("https://evil.example"))
        await refused(mine, shown)  # the challenge went with the try before
        shown = await signed(mine)
        await refused(mine, shown, Place(origin.replace("localhost", "localhost.evil.example")))
        carl = await house.person("carl")
        await DB.execute("UPDATE passkeys SET user_id = ?", (carl,))
        await refused(other, shown)
        await DB.execute("UPDATE passkeys SET user_id = ?", (user_id,))
        fresh = await half()
        passed = await passkeys.pass_key(fresh, user_id, await signed(fresh), place, HERE)
        assert passed.user_id == user_id


@pytest.mark.feature("X-06")
async def test_a_passkey_alone_opens_the_door(house: House, browser: Browser) -> None:
    """No name, no password; what it signed once opens nothing a second time."""
    user_id = await person(house)
    async with (
        served(house.app) as url,
        authenticator(browser, url) as (page, cdp, key),
    ):
        await page.goto("/login")
        assert await page.locator("#passkey-form").count() == 0, "nobody has one yet"
        await sign_in(page)
        await make_one(page, "my laptop")
        await page.context.clear_cookies()
        await DB.execute("DELETE FROM sessions")

        sent: list[str] = []
        page.on("request", lambda asked: sent.append(asked.post_data or ""))
        await page.goto("/login?next=/account")
        await page.check("#remember")
        await page.click("#passkey-form button")
        await page.wait_for_url(re.compile(r"localhost:\d+/account$"))
        row = await DB.one("SELECT userId, authLevel, remember FROM sessions")
        assert row == {"userId": user_id, "authLevel": 2, "remember": 1}

        answered = dict(parse_qsl(next(one for one in sent if one.startswith("credential="))))
        async with house.client() as thief:
            assert (await thief.post("/login/passkey", data=answered)).status_code == 422

        # A key that was only touched, by whoever holds it, is half of what is asked for.
        await cdp.send(
            "WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False}
        )
        await page.context.clear_cookies()
        await page.goto("/login")
        await page.click("#passkey-form button")
        await expect(page.locator("[data-passkey-note]")).not_to_be_empty()
        await cdp.send("WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": True})

        await DB.execute("UPDATE users SET is_active = 0 WHERE id = ?", (user_id,))
        await page.click("#passkey-form button")
        await page.wait_for_selector("#login-form .notice--bad")
        assert await DB.value("SELECT count(*) FROM sessions WHERE userId = ?", (user_id,)) == 1


async def test_what_a_passkey_signs_lets_in_its_owner_once_and_there_only(
    house: House, browser: Browser
) -> None:
    user_id = await person(house)
    async with (
        served(house.app) as url,
        authenticator(browser, url) as (page, _cdp, _key),
    ):
        await sign_in(page)
        await make_one(page, "my laptop")
        place = Place(url.replace("127.0.0.1", "localhost"))

        async def signed() -> tuple[str, str]:
            asked, challenge = passwordless.ask(place)
            return json.dumps(await shown_by(page, asked)), challenge

        async def refused(shown: str, challenge: str | None, where: Place = place) -> None:
            with pytest.raises(SignInFailed):
                await passwordless.enter(shown, challenge, where, HERE)

        shown, challenge = await signed()
        await refused(shown, passwordless.ask(place)[1])  # asked by another browser
        await refused(shown, None)
        await refused(shown, challenge, Place("https://evil.example"))
        other = json.loads(shown)
        other["response"]["userHandle"] = "c29tZWJvZHkgZWxzZQ"
        await refused(json.dumps(other), challenge)
        entered = await asyncio.gather(
            *(passwordless.enter(shown, challenge, place, HERE) for _ in range(5)),
            return_exceptions=True,
        )
        won = [one for one in entered if isinstance(one, SignedIn)]
        assert [one.user_id for one in won] == [user_id]

        await DB.execute("UPDATE passkeys SET sign_count = 1000")
        await refused(*await signed())
        told = await DB.value("SELECT count(*) FROM notifications WHERE level = 'error'")
        assert told == 1, "a counter that went back is told"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"id": 1}', "x" * 20_000, '{"id":"YWJj"}']
)
async def test_what_is_no_passkey_is_refused_quietly(house: House, text: str) -> None:
    user_id = await person(house)
    await DB.execute(
        "INSERT INTO passkeys (id, user_id, credential_id, public_key)"
        " VALUES ('p', ?, 'YWJj', 'YWJj')",
        (user_id,),
    )
    entered = await signin.sign_in("bea", GOOD, HERE)
    assert entered.pending
    visit = await sessions.read_session(entered.token)
    assert visit is not None
    place = Place("http://localhost:8040")
    await passkeys.ask(user_id, visit.session_id, place)
    with pytest.raises(CodeRefused):
        await passkeys.pass_key(visit.session_id, user_id, text, place, HERE)
