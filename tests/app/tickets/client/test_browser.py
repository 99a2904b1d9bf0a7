"""The browser driver and `auto`: real Chromium against the stand-in portal."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.core.secret import SecretStr
from app.demo.portal.serve import Portal, running_portal
from app.tickets.client import browser, chromium, drivers
from app.tickets.client.driver import Credential, FetchResult, Policy
from app.tickets.outcomes import Fault, Outcome
from app.tickets.paper.validate import Rules, Status, validate
from app.tickets.profiles import HONEST, Profile
from db import clock
from tests.system import program

pytestmark = pytest.mark.anyio

MARKERS = ("NVV-Semesterticket",)
GOOD = ("ok_storage", "ok_post_binding", "terms", "consent_boxes", "portal_consent", "js_ticket")
REFUSED = {
    "wrong_password": Outcome.WRONG_PASSWORD,
    "login_loop": Outcome.WRONG_PASSWORD,
    "mfa": Outcome.MFA_REQUIRED,
    "captcha": Outcome.CAPTCHA,
    "js_challenge": Outcome.JS_CHALLENGE,
    "rate_limit": Outcome.RATE_LIMITED,
    "redirect_evil": Outcome.FORBIDDEN_HOST,
    "redirect_loop": Outcome.TOO_MANY_HOPS,
    "hostile_html": Outcome.FORBIDDEN_HOST,  # its page leaves by itself; nobody follows
}


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Portal]:
    async with running_portal() as portal:
        yield portal
        await chromium.close()


@pytest.fixture
def portal(running: Portal) -> Portal:
    running.reset()
    return running


async def tell(_step: str) -> None:
    return


async def go(
    portal: Portal, *, driver: str = "browser", profile: Profile = HONEST, **more: Any
) -> FetchResult:
    given: dict[str, Any] = {
        "portal_url": f"{portal.sp_url}/",
        "idp_hosts": (portal.idp_host,),
        "markers": MARKERS,
        "auto_consent": True,
        "accept_terms": True,
        "request_s": 8.0,
        **more,
    }
    return await drivers.fetch(
        driver,
        Credential("uk000001", SecretStr("pw-1")),
        profile,
        Policy(**given),
        tell,
        browser_path=str(program("chromium")),
    )


def checked(portal: Portal, result: FetchResult) -> Status:
    rules = Rules(portal_url=portal.sp_url, markers=MARKERS, today=clock.now().date(), drawn=True)
    return validate(result.page(), rules, result.assets).status


@pytest.mark.feature("T-09")
@pytest.mark.parametrize("scenario", GOOD)
async def test_a_browser_brings_the_ticket(portal: Portal, scenario: str) -> None:
    portal.scenario(scenario)
    result = await go(portal)
    assert checked(portal, result) is Status.VALID
    assert result.driver == "browser"
    assert not [line for line in portal.log() if line["kind"] == "trap"]


@pytest.mark.parametrize("scenario", REFUSED)
async def test_a_browser_names_what_stops_it(portal: Portal, scenario: str) -> None:
    portal.scenario(scenario)
    with pytest.raises(Fault) as caught:
        await go(portal)
    assert caught.value.outcome is REFUSED[scenario]
    assert not [line for line in portal.log() if line["kind"] == "trap"]
    assert caught.value.steps


async def test_a_password_stays_with_the_pinned_host(portal: Portal) -> None:
    portal.scenario("redirect_evil", at="login_action")
    with pytest.raises(Fault) as caught:
        await go(portal)
    assert caught.value.outcome is Outcome.FORBIDDEN_HOST
    assert not [line for line in portal.log() if line["kind"] == "trap"]


@pytest.mark.feature("T-10")
async def test_auto_asks_a_browser_only_for_a_page_drawn_by_script(portal: Portal) -> None:
    plain = await go(portal, driver="auto")
    portal.scenario("js_ticket")
    drawn = await go(portal, driver="auto")
    portal.scenario("js_challenge")
    with pytest.raises(Fault) as caught:
        await go(portal, driver="auto")
    assert (plain.driver, drawn.driver) == ("http", "browser")
    assert caught.value.outcome is Outcome.JS_CHALLENGE
    assert checked(portal, drawn) is Status.VALID


@pytest.mark.feature("T-09")
async def test_one_browser_is_kept_and_a_context_is_not(portal: Portal) -> None:
    await go(portal)
    first = chromium.keeper()._browser
    assert first is not None
    assert first.contexts == []
    await go(portal)
    assert chromium.keeper()._browser is first


async def test_the_portals_own_copy_and_a_pdf_come_along(portal: Portal) -> None:
    result = await go(portal)
    assert result.offline_export is not None
    assert "Test Person 1" in result.offline_export.decode()
    assert result.pdf.startswith(b"%PDF-")


@pytest.mark.feature("T-48")
async def test_a_place_is_told_to_the_page_also_at_zero(portal: Portal) -> None:
    profile = Profile(
        name="mine",
        own=True,
        user_agent="Mozilla/5.0 (X11; Mine) Test/1",
        locale="de-DE",
        timezone="Asia/Tokyo",
        viewport_width=500,
        viewport_height=600,
        latitude=0.0,
        longitude=9.5,
    )
    path = str(program("chromium"))
    async with chromium.keeper().browser(path, (portal.idp_host,)) as held:
        context = await held.new_context(**browser._context(profile))
        page = await context.new_page()
        await page.goto(portal.idp_url)  # localhost: a secure context
        place = await page.evaluate(
            "new Promise((ok, no) => navigator.geolocation.getCurrentPosition("
            "p => ok([p.coords.latitude, p.coords.longitude]), e => ok(e.message)))"
        )
        seen = await page.evaluate(
            "[navigator.userAgent, innerWidth, navigator.language,"
            " Intl.DateTimeFormat().resolvedOptions().timeZone]"
        )
        await context.close()
    assert place == [0, 9.5]
    assert seen == ["Mozilla/5.0 (X11; Mine) Test/1", 500, "de-DE", "Asia/Tokyo"]


async def test_without_a_browser_the_driver_says_so(portal: Portal) -> None:
    with pytest.raises(Fault) as caught:
        await drivers.fetch(
            "browser",
            Credential("uk000001", SecretStr("pw-1")),
            HONEST,
            Policy(portal_url=portal.sp_url, idp_hosts=(), markers=MARKERS),
            tell,
            browser_path="/nowhere/chromium",
        )
    assert caught.value.outcome is Outcome.BROWSER_MISSING


async def test_a_socks_proxy_with_a_login_is_refused_before_the_start(portal: Portal) -> None:
    login = ("jana", SecretStr("x"))
    with pytest.raises(Fault) as caught:
        await go(portal, proxy_url="socks5://127.0.0.1:9", proxy_login=login)
    assert caught.value.outcome is Outcome.PROXY_ERROR
    assert portal.log() == []
