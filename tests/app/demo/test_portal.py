"""The stand-in portal keeps the rules of the real protocol: what is out of order is refused."""

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.demo.portal import serve as portal_package
from app.demo.portal.serve import Portal
from tests.app.demo import steps

pytestmark = pytest.mark.anyio
PACKAGE = Path(portal_package.__file__).parent


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_the_stand_in_shares_no_code_with_the_program(path: Path) -> None:
    imported = {
        name
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    ours = {name for name in imported if name.split(".")[0] in ("app", "jobs", "db")}
    assert not {name for name in ours if not name.startswith("app.demo.portal")}


def kinds(portal: Portal) -> list[str]:
    return [line["kind"] for line in portal.log()]


def refusals(portal: Portal) -> list[str]:
    return [line["reason"] for line in portal.log() if line["kind"] == "refused"]


async def test_signing_in_leads_to_the_ticket(client: httpx.AsyncClient, portal: Portal) -> None:
    login = await steps.open_portal(client, portal)
    assert login.url.host == "localhost"
    assert login.url.params["execution"] == "e1s1"
    answer = await steps.sign_in(client, login)
    _, fields = steps.form(answer)
    assert set(fields) == {"RelayState", "SAMLResponse"}
    assert len(fields["SAMLResponse"]) >= 4096
    assert "ss&#x3a;mem&#x3a;" in answer.text
    ticket = await steps.hand_over(client, answer)
    assert str(ticket.url) == f"{portal.sp_url}/"
    assert "NVV-Semesterticket" in steps.text(ticket)
    assert "Test Person 1" in steps.text(ticket)
    steps_done = ["start", "flow", "login_page", "password", "assertion", "session", "ticket"]
    assert kinds(portal) == steps_done


async def test_cookies_stay_with_their_host_and_path(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    await steps.walk(client, portal)
    found = {
        (cookie.name.rpartition("_")[0] or cookie.name, cookie.domain.split(".")[0], cookie.path)
        for cookie in client.cookies.jar
    }
    assert found == {
        ("_shibstate", "127", "/"),
        ("_shibsession", "127", "/"),
        ("JSESSIONID", "localhost", "/idp"),
    }


async def test_a_wrong_csrf_token_is_refused(client: httpx.AsyncClient, portal: Portal) -> None:
    login = await steps.open_portal(client, portal)
    action, fields = steps.form(login)
    good = {"j_username": "uk000001", "j_password": "pw-1", "_eventId_proceed": ""}
    for token in ({"csrf_token": "0" * 40}, {}):
        page = await client.post(action, data=good | token)
        assert page.status_code == 403
    assert portal.stats()["password_posts"] == 0
    assert steps.has(await client.post(action, data=fields | good), "[name=SAMLResponse]")


async def test_each_step_has_its_own_csrf_token(client: httpx.AsyncClient, portal: Portal) -> None:
    login = await steps.open_portal(client, portal)
    again = await steps.sign_in(client, login, "bad")
    first, second = steps.form(login)[1]["csrf_token"], steps.form(again)[1]["csrf_token"]
    assert first != second
    action, _ = steps.form(again)
    page = await client.post(
        action,
        data={
            "csrf_token": first,
            "j_username": "uk000001",
            "j_password": "pw-1",
            "_eventId_proceed": "",
        },
    )
    assert page.status_code == 403


async def test_a_relay_state_is_good_once(client: httpx.AsyncClient, portal: Portal) -> None:
    answer = await steps.sign_in(client, await steps.open_portal(client, portal))
    assert (await steps.hand_over(client, answer)).status_code == 200
    replay = await steps.hand_over(client, answer)
    assert replay.status_code == 400
    assert refusals(portal) == ["relay_state"]


async def test_an_answer_is_taken_only_for_the_question_it_answers(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    first = await steps.sign_in(client, await steps.open_portal(client, portal))
    second = await steps.sign_in(client, await steps.open_portal(client, portal))
    action, fields = steps.form(second)
    swapped = fields | {"SAMLResponse": steps.form(first)[1]["SAMLResponse"]}
    assert (await client.post(action, data=swapped)).status_code == 400
    assert refusals(portal) == ["in_response_to"]


async def test_a_changed_answer_is_refused(client: httpx.AsyncClient, portal: Portal) -> None:
    answer = await steps.sign_in(client, await steps.open_portal(client, portal))
    action, fields = steps.form(answer)
    message = str(fields["SAMLResponse"])
    changed = message[:2000] + ("A" if message[2000] != "A" else "B") + message[2001:]
    page = await client.post(action, data=fields | {"SAMLResponse": changed})
    assert page.status_code == 400
    assert refusals(portal) == ["saml_response"]


@pytest.mark.parametrize("key", ["e1s2", "e1s9", "e2s1", "", "e1"])
async def test_a_skipped_step_is_refused(
    client: httpx.AsyncClient, portal: Portal, key: str
) -> None:
    portal.scenario("terms", also=["consent"])
    login = await steps.open_portal(client, portal)
    page = await client.get(login.url.copy_set_param("execution", key))
    assert page.status_code == 400
    assert refusals(portal) == ["stale"]
    assert steps.has(await steps.sign_in(client, login), "#tou-acceptance")


async def test_a_step_that_is_done_cannot_be_sent_again(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("terms")
    login = await steps.open_portal(client, portal)
    assert (await steps.sign_in(client, login)).url.params["execution"] == "e1s2"
    assert (await steps.sign_in(client, login)).status_code == 400
    assert portal.stats()["password_posts"] == 1


async def test_terms_cannot_be_passed_by_the_plain_address(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("terms")
    terms = await steps.sign_in(client, await steps.open_portal(client, portal))
    page = await client.get(terms.url.copy_set_param("_eventId_proceed", "1"))
    assert steps.has(page, "#tou-acceptance")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_missing_cookie_is_refused(
    client: httpx.AsyncClient, portal: Portal, host: str
) -> None:
    login = await steps.open_portal(client, portal)
    if host == "localhost":
        client.cookies.clear()
        page = await steps.sign_in(client, login)
    else:
        answer = await steps.sign_in(client, login)
        client.cookies.clear()
        page = await steps.hand_over(client, answer)
    assert page.status_code == 400
    assert refusals(portal) == ["cookie" if host == "localhost" else "sp_cookie"]


async def test_an_unknown_service_is_refused(client: httpx.AsyncClient, portal: Portal) -> None:
    page = await client.get(
        f"{portal.idp_url}/idp/profile/SAML2/Redirect/SSO?SAMLRequest=bm90aGluZw=="
    )
    assert page.status_code == 400
    assert refusals(portal) == ["unknown_sp"]


async def test_the_request_travels_deflated_and_knows_its_way_back(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    page = await client.get(f"{portal.sp_url}/", follow_redirects=False)
    query = parse_qs(urlsplit(page.headers["location"]).query)
    assert page.status_code == 302
    assert set(query) == {"SAMLRequest", "RelayState"}
    assert page.headers["location"].startswith(f"{portal.idp_url}/idp/")


async def test_a_host_that_is_none_of_the_two_is_the_trap(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    await client.get(portal.idp_url.replace("localhost", "127.0.0.1"))
    await client.get(portal.trap_url, headers={"host": "localhost"})
    assert kinds(portal) == ["trap", "trap"]


async def test_a_wrong_password_is_told_on_a_page_that_succeeds(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    page = await steps.sign_in(client, await steps.open_portal(client, portal), "bad")
    assert page.status_code == 200
    assert steps.has(page, ".form-error")
    assert steps.form(page)[0].endswith("execution=e1s2")
    assert "bad" not in page.text
    assert steps.has(await steps.sign_in(client, page, "pw-1"), "[name=SAMLResponse]")


async def test_three_wrong_passwords_lock_for_a_quarter_of_an_hour(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    start = datetime(2026, 4, 1, 8, tzinfo=UTC)
    portal.set_clock(start)
    page = await steps.open_portal(client, portal)
    for _ in range(3):
        page = await steps.sign_in(client, page, "bad")
        assert "incorrect" in steps.text(page)
    page = await steps.sign_in(client, page, "pw-1")
    assert "locked" in steps.text(page)
    other = await steps.sign_in(client, page, "pw-2", "uk000002")
    assert steps.has(other, "[name=SAMLResponse]")
    portal.set_clock(start + timedelta(minutes=14))
    page = await steps.sign_in(client, await steps.open_portal(client, portal), "pw-1")
    assert "locked" in steps.text(page)
    portal.set_clock(start + timedelta(minutes=15, seconds=5))
    assert steps.has(await steps.sign_in(client, page, "pw-1"), "[name=SAMLResponse]")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "Gültig von 01.04.2026 bis 30.04.2026"),
        ("en-GB", "Valid from 2026-04-01 until 2026-04-30"),
        ("fr, de;q=0.3, en;q=0.7", "Valid from"),
        ("nonsense;q=x", "Valid from"),
    ],
)
async def test_pages_speak_the_language_of_the_browser(
    client: httpx.AsyncClient, portal: Portal, header: str, words: str
) -> None:
    portal.set_clock(datetime(2026, 4, 10, tzinfo=UTC))
    client.headers["accept-language"] = header
    assert words in steps.text(await steps.walk(client, portal))


async def test_the_month_begins_in_berlin(client: httpx.AsyncClient, portal: Portal) -> None:
    portal.set_clock(datetime(2026, 4, 30, 22, 30, tzinfo=UTC))
    assert "2026-05-01 until 2026-05-31" in steps.text(await steps.walk(client, portal))


async def test_what_the_ticket_page_loads_is_there(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    await steps.walk(client, portal)
    for path, kind in (
        ("/static/portal.css?v=7", "text/css"),
        ("/static/logo.svg", "image/svg"),
        ("/static/wave.svg", "image/svg"),
        ("/ticket/code.png", "image/png"),
    ):
        answer = await client.get(portal.sp_url + path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
    client.cookies.clear()
    code = await client.get(f"{portal.sp_url}/ticket/code.png")
    assert code.url.host == "localhost"


async def test_logins_at_the_same_time_are_counted(portal: Portal) -> None:
    one, two = httpx.AsyncClient(follow_redirects=True), httpx.AsyncClient(follow_redirects=True)
    async with one, two:
        first, second = await steps.open_portal(one, portal), await steps.open_portal(two, portal)
        first = await steps.sign_in(one, first)
        second = await steps.sign_in(two, second)
        await steps.hand_over(one, first)
        await steps.hand_over(two, second)
    stats = portal.stats()
    assert stats["peak_parallel"] == 2
    assert stats["peak_parallel_by_user"] == {"uk000001": 2}
    assert (stats["logins"], stats["wrong_logins"], stats["tickets"]) == (2, 0, 2)


async def test_logins_one_after_the_other_are_not_parallel(
    client: httpx.AsyncClient, portal: Portal
) -> None:
    portal.scenario("consent")
    page = await steps.open_portal(client, portal)
    assert steps.has(await steps.sign_in(client, page), "#attributeRelease")
    client.cookies.clear()
    await steps.walk(client, portal)
    stats = portal.stats()
    assert stats["peak_parallel"] == 1
    assert stats["logins"] == stats["password_posts"] == 2
