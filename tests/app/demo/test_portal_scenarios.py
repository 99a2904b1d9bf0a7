"""Every scenario of the stand-in portal shows what it is for, over real sockets."""

import asyncio
import base64
import gzip
import time
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO

import httpx
import pytest
import zxingcpp
from PIL import Image

from app.demo.portal.scenario import NAMES
from app.demo.portal.serve import Portal
from tests.app.demo import steps

pytestmark = pytest.mark.anyio

APRIL = datetime(2026, 4, 10, 10, tzinfo=UTC)
TICKET = "NVV-Semesterticket"


def kinds(portal: Portal) -> list[str]:
    return [line["kind"] for line in portal.log()]


def scan(page: httpx.Response) -> bytes:
    """The bytes of the code picture on a ticket page."""
    code = steps.tree(page).css_first("#code")
    assert code is not None
    data = base64.b64decode(str(code.attributes["src"]).removeprefix("data:image/png;base64,"))
    with Image.open(BytesIO(data)) as picture:
        found = zxingcpp.read_barcodes(picture)
    assert [item.format for item in found] == [zxingcpp.BarcodeFormat.Aztec]
    return found[0].bytes


# What a patient person who agrees to everything ends up with: scenario -> status, words they
# read, log lines that must be there, words they must not read.
ENDS: dict[str, tuple[int, str, tuple[str, ...], str]] = {
    "ok": (200, "Valid from 2026-04-01 until 2026-04-30", ("session", "ticket"), "Login"),
    "ok_storage": (200, TICKET, ("storage_read", "storage_write", "ticket"), "Login"),
    "ok_sso_skip": (200, TICKET, ("password", "ticket"), "Login"),
    "ok_post_binding": (200, TICKET, ("flow", "ticket"), "Login"),
    "wrong_password": (200, "password you entered was incorrect", ("password",), TICKET),
    "locked": (200, "account has been locked", ("password",), TICKET),
    "password_expired": (200, "password has expired", ("password",), TICKET),
    "expiring_notice": (200, TICKET, ("notice_page", "ticket"), "expire"),
    "login_loop": (200, "Username", ("password",), "incorrect"),
    "stale_request": (400, "Stale Request", ("fault",), TICKET),
    "consent": (200, TICKET, ("consent_page", "consent", "ticket"), "Reject"),
    "consent_boxes": (200, TICKET, ("consent_page", "consent", "ticket"), "Reject"),
    "consent_de": (200, TICKET, ("consent_page", "consent", "ticket"), "Ablehnen"),
    "consent_text_has_marker_word": (200, TICKET, ("consent", "ticket"), "Reject"),
    "terms": (200, TICKET, ("terms_page", "terms", "ticket"), "Refuse"),
    "portal_consent": (200, TICKET, ("portal_consent_page", "portal_consent", "ticket"), "Privacy"),
    "mfa": (200, "one-time code", ("mfa_page",), TICKET),
    "captcha": (200, "characters of the picture", ("fault",), TICKET),
    "js_challenge": (403, "Enable JavaScript", ("fault",), TICKET),
    "changed": (200, "night bus", ("ticket",), "Login"),
    "next_month": (200, "Valid from 2026-05-01 until 2026-05-31", ("ticket",), "2026-04"),
    "volatile": (200, "Page loaded at", ("ticket",), "Login"),
    "code_rotates": (200, TICKET, ("ticket",), "Login"),
    "js_ticket": (200, TICKET, ("ticket",), "Valid from"),
    "foreign_ticket": (200, "Test Person 2", ("ticket",), "Test Person 1"),
    "wrong_name": (200, "Somebody Else", ("ticket",), "Test Person"),
    "expired": (200, "Valid from 2026-03-01 until 2026-03-31", ("ticket",), "2026-04"),
    "no_dates": (200, TICKET, ("ticket",), "Valid from"),
    "marker_only_in_script": (200, "Semesterticket", ("ticket",), TICKET),
    "hostile_html": (200, "hostile", ("ticket",), "Login"),
    "latin1": (200, "Universität Kassel", ("ticket",), "�"),
    "no_charset": (200, "Universität Kassel", ("ticket",), "�"),
    "bom": (200, "Universität Kassel", ("ticket",), "�"),
    "surrogate": (200, "Universität Kassel", ("ticket",), "Login"),
    "maintenance_503": (503, "temporarily unavailable", ("fault",), TICKET),
    "maintenance_200": (200, "Maintenance", ("fault",), TICKET),
    "error_500": (500, "Internal Server Error", ("fault",), TICKET),
    "acs_500": (500, "Message Security Error", ("assertion", "fault"), TICKET),
    "empty_200": (200, "", ("fault",), TICKET),
    "error_json": (200, "unavailable", ("fault",), TICKET),
    "rate_limit": (429, "slow down", ("fault",), TICKET),
    "rate_limit_date": (429, "slow down", ("fault",), TICKET),
    "redirect_evil": (200, "Username", ("fault", "trap"), TICKET),
    "drop_cookie": (200, "Username", ("session", "login_page"), TICKET),
}
# These need a look of their own, below: scenario -> the test that takes it.
APART = {
    "slow": "test_slow_takes_its_time",
    "stall_mid_body": "test_a_stalled_answer_never_ends",
    "huge": "test_a_huge_answer_is_as_large_as_ordered",
    "gzip_bomb": "test_a_gzip_bomb_is_small_until_unpacked",
    "redirect_loop": "test_a_redirect_loop_has_no_end",
    "http_downgrade": "test_a_downgrade_points_out_of_the_house",
    "markup_change": "test_the_redesign_leaves_nothing_to_hold_on_to",
}


@pytest.mark.feature("T-68")
@pytest.mark.parametrize("name", sorted(ENDS))
async def test_a_scenario_ends_as_described(
    client: httpx.AsyncClient, portal: Portal, name: str
) -> None:
    status, words, lines, unseen = ENDS[name]
    portal.set_clock(APRIL)
    portal.scenario(name)
    page = await steps.walk(client, portal)
    read = steps.text(page)
    assert page.status_code == status
    assert words in read
    assert unseen not in read
    done = iter(kinds(portal))
    assert all(line in done for line in lines)  # in this order, others may stand between


@pytest.mark.feature("T-68")
def test_no_scenario_is_left_out() -> None:
    assert set(ENDS) | set(APART) == NAMES
    assert not set(ENDS) & set(APART)
    assert set(APART.values()) <= set(globals())


@pytest.mark.feature("T-68")
async def test_slow_takes_its_time(client: httpx.AsyncClient, portal: Portal) -> None:
    portal.scenario("slow", seconds=0.05)
    before = time.monotonic()
    page = await steps.walk(client, portal)
    # start, flow, login page, password, assertion, ticket: each at least so long, never shorter
    assert time.monotonic() - before >= 6 * 0.05
    assert TICKET in steps.text(page)


@pytest.mark.feature("T-68")
@pytest.mark.parametrize("cut", [False, True])
async def test_a_stalled_answer_never_ends(
    client: httpx.AsyncClient, portal: Portal, cut: bool
) -> None:
    portal.scenario("stall_mid_body", at="start", cut=cut)
    wanted = httpx.RemoteProtocolError if cut else httpx.ReadTimeout
    async with client.stream("GET", portal.sp_url, timeout=0.2) as answer:
        assert answer.status_code == 200
        with pytest.raises(wanted):
            await answer.aread()


@pytest.mark.feature("T-68")
async def test_a_huge_answer_is_as_large_as_ordered(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("huge", at="start")
    size = 0
    async with client.stream("GET", portal.sp_url) as answer:
        async for chunk in answer.aiter_raw():
            size += len(chunk)
    assert size > 60 * 1024 * 1024


@pytest.mark.feature("T-68")
async def test_a_gzip_bomb_is_small_until_unpacked(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("gzip_bomb", at="start", mb=50)
    async with client.stream("GET", portal.sp_url) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        packed = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert len(packed) < 200 * 1024
    assert len(gzip.decompress(packed)) == 50 * 1024 * 1024
    assert zlib.decompressobj(31).decompress(packed, 10) == b" " * 10


@pytest.mark.feature("T-68")
async def test_a_redirect_loop_has_no_end(client: httpx.AsyncClient, portal: Portal) -> None:
    portal.scenario("redirect_loop")
    with pytest.raises(httpx.TooManyRedirects):
        await steps.open_portal(client, portal)


@pytest.mark.feature("T-68")
async def test_a_downgrade_points_out_of_the_house(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("http_downgrade")
    answer = await client.get(portal.sp_url, follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("http://idp.example.org/")


@pytest.mark.feature("T-68")
@pytest.mark.parametrize("opaque", [False, True])
async def test_the_redesign_leaves_nothing_to_hold_on_to(
    client: httpx.AsyncClient, portal: Portal, opaque: bool
) -> None:
    portal.scenario("markup_change", opaque=opaque)
    page = await steps.open_portal(client, portal)
    assert not steps.has(page, "[id],button,input[type=submit],[name=j_username],[name=csrf_token]")
    assert len(steps.tree(page).css("input[type=password]")) == (0 if opaque else 1)
    assert len(steps.tree(page).css("input[type=text]")) == (3 if opaque else 1)
    page = await steps.press(client, page, kennung="uk000001", geheim="pw-1")
    assert TICKET in steps.text(await steps.hand_over(client, page))


async def test_the_code_is_one_per_person_and_month(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.set_clock(APRIL)
    page = await steps.walk(client, portal)
    code = scan(page)
    assert code == scan(await steps.open_portal(client, portal))
    portal.set_clock(datetime(2026, 5, 1, tzinfo=UTC))
    assert code != scan(await steps.open_portal(client, portal))
    client.cookies.clear()
    portal.set_clock(APRIL)
    assert code != scan(await steps.walk(client, portal, "pw-2", "uk000002"))


async def test_only_the_code_rotates(client: httpx.AsyncClient, portal: Portal) -> None:
    portal.set_clock(APRIL)
    portal.scenario("code_rotates")
    first = await steps.walk(client, portal)
    second = await steps.open_portal(client, portal)
    assert scan(first) != scan(second)
    assert [steps.text(page).split("Page loaded")[0] for page in (first, second)] == [
        steps.text(first).split("Page loaded")[0]
    ] * 2


async def test_only_the_clock_and_the_token_are_volatile(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("volatile")
    portal.set_clock(APRIL)
    first = await steps.walk(client, portal)
    portal.set_clock(datetime(2026, 4, 10, 11, 30, tzinfo=UTC))
    second = await steps.open_portal(client, portal)
    pairs = zip(first.text.splitlines(), second.text.splitlines(), strict=True)
    changed = [one for one, two in pairs if one != two]
    assert len(changed) == 3
    assert "csrf-token" in changed[0]
    assert "Page loaded at" in changed[1]
    assert "_csrf" in changed[2]


async def test_the_identity_provider_remembers(client: httpx.AsyncClient, portal: Portal) -> None:
    portal.scenario("ok_sso_skip", session_views=1)
    await steps.walk(client, portal)
    again = await steps.open_portal(client, portal)
    assert steps.has(again, "[name=SAMLResponse]")
    assert TICKET in steps.text(await steps.hand_over(client, again))
    assert portal.stats()["password_posts"] == 1


async def test_without_that_scenario_nobody_is_remembered(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("ok", session_views=1)
    await steps.walk(client, portal)
    assert steps.has(await steps.open_portal(client, portal), "#password")


async def test_consent_is_remembered_only_when_asked_to(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("consent")
    for option, asked in (("doNotRememberConsent", True), ("rememberConsent", True)):
        page = await steps.sign_in(client, await steps.open_portal(client, portal))
        assert steps.has(page, "#attributeRelease") is asked
        page = await steps.press(
            client,
            page,
            _shib_idp_consentOptions=f"_shib_idp_{option}",
            _eventId_proceed="Accept",
        )
        assert steps.has(page, "[name=SAMLResponse]")
    page = await steps.sign_in(client, await steps.open_portal(client, portal))
    assert steps.has(page, "[name=SAMLResponse]")
    given = [line for line in portal.log() if line["kind"] == "consent"]
    assert [line["option"] for line in given] == [
        "_shib_idp_doNotRememberConsent",
        "_shib_idp_rememberConsent",
    ]
    assert given[0]["released"] == ["affiliation", "birth", "given_name", "mail"]


@pytest.mark.parametrize("name", ["consent", "terms"])
async def test_a_refusal_ends_the_login(
    client: httpx.AsyncClient, portal: Portal, name: str
) -> None:
    portal.scenario(name)
    page = await steps.sign_in(client, await steps.open_portal(client, portal))
    button = "TermsRejected" if name == "terms" else "AttributeReleaseRejected"
    refused = await steps.press(
        client, page, f"[name=_eventId_{button}]", **{f"_eventId_{button}": "x"}
    )
    assert "You refused" in steps.text(refused)
    assert (await steps.press(client, page, _eventId_proceed="x")).status_code == 400
    assert "ticket" not in kinds(portal)


async def test_a_rate_limit_says_how_long(client: httpx.AsyncClient, portal: Portal) -> None:
    portal.scenario("rate_limit", n=1, retry_after=7)
    assert (await steps.open_portal(client, portal)).headers["retry-after"] == "7"
    assert (await steps.open_portal(client, portal)).status_code == 200
    portal.set_clock(APRIL)
    portal.scenario("rate_limit_date", retry_after=3600)
    until = parsedate_to_datetime((await steps.open_portal(client, portal)).headers["retry-after"])
    assert 3600 <= (until - APRIL).total_seconds() + 1 <= 3660


@pytest.mark.parametrize(
    ("at", "posted"),
    [("start", [False, True]), ("login_action", [True]), ("ticket", [False])],
)
async def test_whoever_follows_to_the_wrong_host_is_seen(
    client: httpx.AsyncClient, portal: Portal, at: str, posted: list[bool]
) -> None:
    portal.scenario("redirect_evil", at=at)
    await steps.walk(client, portal)
    traps = [line for line in portal.log() if line["kind"] == "trap"]
    assert [line["posted"] for line in traps] == posted
    assert portal.stats()["trapped"] == len(posted)
    assert "pw-1" not in str(portal.log())


async def test_encodings_are_what_they_say(client: httpx.AsyncClient, portal: Portal) -> None:
    starts = {"bom": b"\xef\xbb\xbf<!DOCTYPE", "latin1": b"<!DOCTYPE", "no_charset": b"<!DOCTYPE"}
    bodies: dict[str, bytes] = {}
    for name, start in starts.items():
        portal.scenario(name)
        client.cookies.clear()
        page = await steps.walk(client, portal)
        bodies[name] = page.content
        assert page.content.startswith(start)
        assert ("charset" in page.headers["content-type"]) is (name == "latin1")
        assert b"<meta charset" not in page.content
    assert "Universität".encode("latin-1") in bodies["latin1"]
    portal.scenario("surrogate")
    client.cookies.clear()
    page = await steps.walk(client, portal)
    with pytest.raises(UnicodeDecodeError):
        page.content.decode()


async def test_scenarios_can_be_combined(client: httpx.AsyncClient, portal: Portal) -> None:
    portal.scenario("ok_storage", also=["terms", "consent_boxes", "portal_consent", "next_month"])
    portal.set_clock(APRIL)
    assert "2026-05-31" in steps.text(await steps.walk(client, portal))
    agreed = [kind for kind in kinds(portal) if kind in ("terms", "consent", "portal_consent")]
    assert agreed == ["terms", "consent", "portal_consent"]


async def test_a_stalled_answer_does_not_hold_up_the_others(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("stall_mid_body", at="start", times=1)
    async with client.stream("GET", portal.sp_url):
        async with asyncio.timeout(5):
            assert TICKET in steps.text(await steps.walk(client, portal))
