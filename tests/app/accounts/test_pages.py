"""The doors over HTTP: cookies, redirects, what a refusal looks like."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from app.accounts.service import invites, setup, throttle
from app.accounts.service.passwords import Hasher
from app.core import settings
from db import clock as time
from db.clock import FakeClock
from db.engine import DB, ApswEngine
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import PASSWORD, invited
from tests.app.accounts.site import HTTP, browser, make_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(house: ApswEngine, data_dir: Path) -> AsyncIterator[Litestar]:
    await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
    app = make_app(data_dir)
    async with app.lifespan():
        yield app


@pytest.fixture
async def client(site: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(site) as opened:
        yield opened


async def sign_in(
    client: httpx.AsyncClient, login: str = "ada", password: str = GOOD, **more: str
) -> httpx.Response:
    return await client.post("/login", data={"login": login, "password": password, **more})


def below(field: str) -> dict[str, str]:
    """What the browser sends when one field is looked at."""
    return {
        "HX-Request": "true",
        "HX-Request-Type": "partial",
        "HX-Target": f"div#{field}-said",
    }


def set_cookies(response: httpx.Response) -> dict[str, str]:
    """Name to the whole header, of each cookie an answer sets."""
    return {header.split("=")[0]: header for header in response.headers.get_list("set-cookie")}


@pytest.mark.feature("X-03")
async def test_the_first_admin_comes_in_by_the_token(
    client: httpx.AsyncClient, data_dir: Path
) -> None:
    assert "/setup" in (await client.get("/login")).text
    assert (await client.get("/setup")).status_code == 200
    form = {"token": "wrong", "login": "ada", "email": "", "password": GOOD}
    refused = await client.post("/setup", data=form)
    assert refused.status_code == 422
    assert 'aria-invalid="true"' in refused.text
    form["token"] = (data_dir / setup.TOKEN_FILE).read_text()
    weak = await client.post("/setup", data=form | {"password": "password12"})
    assert weak.status_code == 422
    assert "password12" not in weak.text
    entered = await client.post("/setup", data=form)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert (await client.get("/")).text == "ada admin"
    assert (await client.get("/setup")).status_code == 404
    assert (await client.post("/setup", data=form)).status_code == 404


async def test_signing_in_sets_a_cookie_nobody_else_can_set(
    admin: str, client: httpx.AsyncClient
) -> None:
    asked = await client.get("/")
    assert (asked.status_code, asked.headers["location"]) == (303, "/login")
    entered = await sign_in(client, next="/account?x=1")
    assert (entered.status_code, entered.headers["location"]) == (303, "/account?x=1")
    cookie = set_cookies(entered)["__Host-holdfast"].lower()
    for part in ("path=/", "secure", "httponly", "samesite=lax"):
        assert part in cookie
    assert "max-age" not in cookie
    assert "domain" not in cookie
    assert (await client.get("/")).text == "ada admin"
    home = await client.get("/login")
    assert (home.status_code, home.headers["location"]) == (303, "/")


async def test_staying_signed_in_is_a_choice(admin: str, client: httpx.AsyncClient) -> None:
    entered = await sign_in(client, remember="1")
    assert "max-age=7776000" in set_cookies(entered)["__Host-holdfast"].lower()


async def test_over_plain_http_the_cookie_has_its_plain_name(admin: str, site: Litestar) -> None:
    async with browser(site, HTTP) as client:
        cookie = set_cookies(await sign_in(client))["holdfast"].lower()
        assert "secure" not in cookie
        assert "httponly" in cookie
        assert (await client.get("/")).text == "ada admin"


async def test_where_to_go_afterwards_is_never_another_site(
    admin: str, client: httpx.AsyncClient
) -> None:
    for evil in ("//evil.example", "/\\evil.example", "https://evil.example", "/%2f%2fevil"):
        assert (await sign_in(client, next=evil)).headers["location"] == "/"


@pytest.mark.feature("X-25")
async def test_the_answer_does_not_tell_whether_a_name_exists(
    admin: str, client: httpx.AsyncClient, site: Litestar
) -> None:
    async with browser(site, ip="192.0.2.99") as other:
        known = await sign_in(client, "ada", "wrong")
        unknown = await sign_in(other, "eve", "wrong")
    assert known.status_code == unknown.status_code == 422
    assert known.text.replace("ada", "eve") == unknown.text
    assert known.headers.multi_items() == [
        (name, value) if name != "content-length" else (name, known.headers[name])
        for name, value in unknown.headers.multi_items()
    ]


@pytest.mark.feature("X-14")
async def test_too_many_tries_are_told_when_to_come_back(
    admin: str, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    for _ in range(5):
        assert (await sign_in(client, password="wrong")).status_code == 422
    refused = await sign_in(client)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "31"
    assert 'class="form"' in refused.text
    clock.advance(31)
    assert (await sign_in(client)).status_code == 303


async def test_a_device_that_was_let_in_before_is_remembered(
    admin: str, client: httpx.AsyncClient, site: Litestar, clock: FakeClock
) -> None:
    cookie = set_cookies(await sign_in(client))["__Host-holdfast-known"]
    assert "max-age=15552000" in cookie.lower()
    await client.post("/logout")
    until = time.text(time.now() + timedelta(minutes=30))
    await DB.execute(
        "INSERT OR REPLACE INTO auth_throttle (key, kind, failures, window_start, blocked_until)"
        " VALUES (?, 'login', 30, ?, ?)",
        (throttle._key("login", admin), time.text(), until),
    )
    async with browser(site) as stranger:
        assert (await sign_in(stranger)).status_code == 429
    assert (await sign_in(client)).status_code == 303


@pytest.mark.feature("X-22")
async def test_fixation_whatever_was_sent_before_a_new_token_is_given(
    admin: str, client: httpx.AsyncClient, site: Litestar
) -> None:
    await sign_in(client)
    others = client.cookies["__Host-holdfast"]
    for sent in ("attackerchosen", "A" * 43, others, f"{others}; __Host-holdfast={'B' * 43}"):
        headers = {"Cookie": f"__Host-holdfast={sent}"}
        async with browser(site) as victim:
            entered = await victim.post(
                "/login", data={"login": "ada", "password": GOOD}, headers=headers
            )
            assert entered.status_code == 303
            given = victim.cookies["__Host-holdfast"]
            assert given not in sent
            assert (await victim.get("/")).text == "ada admin"
        async with browser(site) as attacker:
            answer = await attacker.get("/", headers=headers)
            assert answer.status_code == 303 or sent.startswith(f"{others};") is False
    assert (await client.get("/")).status_code == 303, "the one that was sent along is dead"


async def test_a_dead_cookie_is_taken_back(admin: str, site: Litestar) -> None:
    async with browser(site) as client:
        answer = await client.get("/login", headers={"Cookie": "__Host-holdfast=" + "A" * 43})
        assert "max-age=0" in set_cookies(answer)["__Host-holdfast"].lower()


async def test_a_day_later_the_cookie_is_renewed(
    admin: str, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    await sign_in(client, remember="1")
    before = client.cookies["__Host-holdfast"]
    clock.advance(86400)
    answer = await client.get("/")
    assert answer.text == "ada admin"
    assert client.cookies["__Host-holdfast"] != before
    assert "max-age=7776000" in set_cookies(answer)["__Host-holdfast"].lower()


async def test_signing_out_ends_the_session_and_clears_the_cache(
    admin: str, client: httpx.AsyncClient
) -> None:
    await sign_in(client)
    token = client.cookies["__Host-holdfast"]
    left = await client.post("/logout")
    assert (left.status_code, left.headers["location"]) == (303, "/login")
    assert left.headers["clear-site-data"] == '"cache"'
    assert "__Host-holdfast" not in client.cookies
    again = await client.get("/", headers={"Cookie": f"__Host-holdfast={token}"})
    assert again.status_code == 303
    assert (await client.post("/logout")).headers["location"] == "/login"


async def test_pages_for_people_are_never_stored(admin: str, client: httpx.AsyncClient) -> None:
    await sign_in(client)
    for path in ("/account", "/admin/invites"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), path


@pytest.mark.feature("X-28")
async def test_from_an_invite_to_an_account(
    admin: str, client: httpx.AsyncClient, site: Litestar
) -> None:
    await sign_in(client)
    form = {"label": "Tom", "email": "", "hours": "5", "domains": ["tickets", "firmware"]}
    made = await client.post("/admin/invites", data=form)
    assert made.status_code == 200
    found = re.search(r"https://hafen\.example\.org(/join/[A-Za-z0-9_-]{43})", made.text)
    assert found
    async with browser(site, ip="192.0.2.50") as tom:
        opened = await tom.get(found[1])
        assert (opened.status_code, opened.headers["location"]) == (303, "/join")
        assert opened.headers["referrer-policy"] == "no-referrer"
        assert opened.headers["cache-control"] == "no-store"
        cookie = set_cookies(opened)["__Host-holdfast-join"].lower()
        assert "httponly" in cookie
        assert "max-age=1800" in cookie
        page = await tom.get("/join")
        assert "ada" in page.text
        assert found[1] not in page.text
        taken = await tom.post("/join", data={"login": "ADA", "password": PASSWORD})
        assert taken.status_code == 409
        assert "/login" in taken.text
        looked = [
            await tom.post("/join/check", data=typed, headers=below(field))
            for field, typed in (
                ("login", {"login": "ADA", "password": ""}),
                ("login", {"login": "deleted:x"}),
                ("password", {"login": "tom", "password": "password12"}),
                ("password", {"login": "tom", "password": PASSWORD}),
            )
        ]
        assert [answer.status_code for answer in looked] == [200, 422, 422, 200]
        assert looked[0].text.strip() == "", "no list of names for the asking"
        assert "Too easy to guess" in looked[2].text
        weak = await tom.post("/join", data={"login": "tom", "password": "password12"})
        assert weak.status_code == 422
        assert 'value="tom"' in weak.text
        entered = await tom.post("/join", data={"login": "tom", "password": PASSWORD})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert "__Host-holdfast-join" not in tom.cookies
        assert (await tom.get("/")).text == "tom user"
        assert (await tom.get("/admin/invites")).status_code == 403
    flags = await DB.value("SELECT flags FROM users WHERE login = 'tom'")
    assert flags == '{"domains":["tickets","firmware"]}'
    listed = await client.get("/admin/invites?state=used")
    assert "Tom" in listed.text
    async with browser(site, ip="192.0.2.51") as late:
        over = await late.get(found[1])
        assert over.status_code == 410
        assert "already used" in over.text


async def test_a_code_may_be_pasted(admin: str, client: httpx.AsyncClient) -> None:
    invite = await invites.create_invite(admin)
    assert (await client.get("/join")).status_code == 200
    empty = await client.post("/join", data={"code": " "})
    assert empty.status_code == 422
    unknown = await client.post("/join", data={"code": "nonsense"})
    assert unknown.status_code == 404
    assert "not known" in unknown.text
    pasted = await client.post("/join", data={"code": f" https://x.example/join/{invite.secret} "})
    assert (pasted.status_code, pasted.headers["location"]) == (303, "/join")
    assert "ada" in (await client.get("/join")).text


async def test_a_forged_or_old_join_cookie_opens_nothing(
    admin: str, client: httpx.AsyncClient, clock: FakeClock
) -> None:
    invite = await invites.create_invite(admin)
    await client.get(f"/join/{invite.secret}")
    good = client.cookies["__Host-holdfast-join"]
    client.cookies.clear()
    for cookie in (invite.secret, good[:-1] + ("A" if good[-1] != "A" else "Q")):
        page = await client.get("/join", headers={"Cookie": f"__Host-holdfast-join={cookie}"})
        assert 'name="code"' in page.text
    clock.advance(1801)
    page = await client.get("/join", headers={"Cookie": f"__Host-holdfast-join={good}"})
    assert 'name="code"' in page.text


async def test_revoking_and_wrong_hours(admin: str, client: httpx.AsyncClient) -> None:
    await sign_in(client)
    wrong = await client.post("/admin/invites", data={"label": "Tom", "hours": "960"})
    assert wrong.status_code == 422
    assert 'value="Tom"' in wrong.text
    invite = await invites.create_invite(admin)
    revoked = await client.post(f"/admin/invites/{invite.short}/revoke")
    assert revoked.status_code == 303
    assert (await client.post(f"/admin/invites/{invite.short}/revoke")).status_code == 409
    assert (await client.get(f"/join/{invite.secret}")).status_code == 303, "who is in goes home"
    client.cookies.clear()
    assert (await client.get(f"/join/{invite.secret}")).status_code == 410


async def test_a_fragment_is_only_the_list(admin: str, client: httpx.AsyncClient) -> None:
    await sign_in(client)
    await invites.create_invite(admin, label="Tom")
    part = await client.get("/admin/invites", headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith("<section")
    assert "Tom" in part.text
    assert "<html" not in part.text


async def test_a_signed_out_fragment_sends_the_page_to_the_door(
    admin: str, client: httpx.AsyncClient
) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "https://hafen.example.org/account?x=1"}
    answer = await client.get("/account", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/login?next=/account"


async def test_language_and_look_are_ones_own(admin: str, client: httpx.AsyncClient) -> None:
    await sign_in(client)
    look = {"part": "look", "locale": "de", "theme": "dark", "time_zone": "Europe/Berlin"}
    assert (await client.post("/account", data=look)).status_code == 303
    page = await client.get("/account")
    assert 'lang="de"' in page.text
    assert 'data-theme="dark"' in page.text
    wrong = await client.post("/account", data=look | {"time_zone": "Mars/Olympus"})
    assert wrong.status_code == 422
    assert (await client.post("/account", data={"part": "role", "role": "x"})).status_code == 404
    assert (await client.post("/account", data=look | {"role": "admin"})).status_code == 422


async def test_a_new_password_signs_out_the_other_devices(
    admin: str, client: httpx.AsyncClient, site: Litestar
) -> None:
    await sign_in(client)
    old = client.cookies["__Host-holdfast"]
    async with browser(site) as phone:
        await sign_in(phone)
        form = {"part": "password", "current": "wrong", "password": PASSWORD}
        assert (await client.post("/account", data=form)).status_code == 422
        changed = await client.post("/account", data=form | {"current": GOOD})
        assert changed.status_code == 303
        assert (await phone.get("/")).status_code == 303
    assert client.cookies["__Host-holdfast"] != old
    assert (await client.get("/")).text == "ada admin"
    client.cookies.clear()
    assert (await sign_in(client)).status_code == 422
    assert (await sign_in(client, password=PASSWORD)).status_code == 303


@pytest.mark.feature("X-23")
async def test_devices_are_listed_and_can_be_signed_out(
    admin: str, client: httpx.AsyncClient, site: Litestar, hasher: Hasher
) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    stranger = await invited(admin, "eve", hasher)
    theirs = await DB.value("SELECT id FROM sessions WHERE userId = ?", (stranger.user_id,))
    await sign_in(client)
    async with browser(site) as phone, browser(site) as tablet:
        phone.headers["User-Agent"] = agent
        await sign_in(phone)
        await sign_in(tablet)
        page = await client.get("/account")
        assert "Firefox, Linux" in page.text
        device = await DB.value("SELECT id FROM sessions WHERE userAgent = ?", (agent,))
        ended = await client.post("/account", data={"part": "device", "id": device})
        assert ended.status_code == 303
        assert (await phone.get("/")).status_code == 303
        assert (await tablet.get("/")).status_code == 200
        not_mine = await client.post("/account", data={"part": "device", "id": theirs})
        assert not_mine.status_code == 404
        await client.post("/account", data={"part": "others"})
        assert (await tablet.get("/")).status_code == 303
    assert (await client.get("/")).status_code == 200
    assert await DB.value("SELECT count(*) FROM sessions WHERE id = ?", (theirs,)) == 1
