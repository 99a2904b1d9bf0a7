"""One template is the page and its fragments; what is sent with each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.core import vault
from app.web.pages import may
from tests.app.web.face import asking, browser, person

pytestmark = pytest.mark.anyio


async def test_a_plain_browser_gets_the_whole_page() -> None:
    async with browser(person()) as web:
        answer = await web.get("/show/index")
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>")
    assert 'id="ticket-now"' in answer.text
    assert answer.headers["vary"] == "HX-Request, HX-Request-Type"
    assert answer.headers["cache-control"] == "no-store"


async def test_htmx_gets_the_block_that_asked() -> None:
    async with browser(person()) as web:
        rows = await web.get("/show/index", headers=asking("ticket-rows"))
        card = await web.get("/show/index", headers=asking("ticket-now"))
        other = await web.get("/show/index", headers=asking("somewhere"))
    assert rows.text.strip().startswith("<section")
    assert 'id="ticket-rows"' in rows.text
    assert 'id="ticket-now"' not in rows.text
    assert card.text.strip().startswith('<div id="ticket-now"')
    assert other.text == card.text.replace(_nonce(card.text), _nonce(other.text))


@pytest.mark.parametrize(
    "sent",
    [
        {"HX-Request-Type": "full"},
        {"HX-Boosted": "true"},
        {"HX-History-Restore-Request": "true"},
    ],
)
async def test_whole_page_requests_of_htmx_get_the_whole_page(sent: dict[str, str]) -> None:
    async with browser(person()) as web:
        answer = await web.get("/show/index", headers={**asking("ticket-rows"), **sent})
    assert answer.text.startswith("<!doctype html>")


async def test_saving_answers_htmx_with_the_block_and_an_event() -> None:
    async with browser(person()) as web:
        answer = await web.post("/save/index", headers=asking("ticket-now"))
    assert answer.status_code == 200
    assert json.loads(answer.headers["hx-trigger"]) == {"tickets": {}, "toast": {"text": "Kept ✓"}}
    assert answer.text.strip().startswith('<div id="ticket-now"')


async def test_saving_redirects_a_plain_browser_and_the_toast_shows_once(
    db: object, data_dir: Path
) -> None:
    await vault.load(data_dir, {})
    async with browser(person()) as web:
        answer = await web.post("/save/index")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/there"
        first = await web.get("/show/index")
        second = await web.get("/show/index")
    assert "Kept ✓" in first.text
    assert "Kept ✓" not in second.text


async def test_a_toast_that_somebody_made_up_is_not_shown(db: object, data_dir: Path) -> None:
    await vault.load(data_dir, {})
    async with browser(person()) as web:
        web.cookies.set("holdfast-flash", '"pay here".aaaa.bbbb')
        answer = await web.get("/show/index")
    assert "pay here" not in answer.text


async def test_an_action_on_a_row_says_only_what_changed() -> None:
    async with browser(person()) as web:
        fragment = await web.post("/row", headers=asking())
        plain = await web.post("/row")
    assert fragment.text == ""
    assert json.loads(fragment.headers["hx-trigger"]) == {"job-7": {}}
    assert plain.status_code == 303


async def test_a_redirect_takes_htmx_along() -> None:
    async with browser(person()) as web:
        answer = await web.post("/row", headers={"HX-Request": "true"})
        assert answer.status_code == 200
    assert may(person(), "admin")


async def test_the_menu_shows_only_what_the_person_may_use() -> None:
    async with browser(person(role="user")) as web:
        plain = (await web.get("/show/index")).text
    async with browser(person()) as web:
        admin = (await web.get("/show/index")).text
    assert 'href="/tickets"' in plain
    assert "/admin/queue" not in plain
    assert 'href="/firmware"' not in plain
    assert 'href="/admin/queue"' in admin


@pytest.mark.parametrize(
    ("access", "role", "allowed"),
    [
        ("public", "user", True),
        ("anon_only", "user", False),
        ("user", "user", True),
        ("user:tickets", "user", True),
        ("user:firmware", "admin", False),
        ("admin", "user", False),
        ("admin", "admin", True),
        ("token:tickets:read", "admin", False),
        ("", "admin", False),
    ],
)
def test_access_words_mean_what_the_guard_means(access: str, role: str, allowed: bool) -> None:
    assert may(person(role=role), access) is allowed


async def test_strangers_see_neither_menu_nor_stream() -> None:
    async with browser(None) as web:
        answer = await web.get("/show/login")
    assert 'id="live"' not in answer.text
    assert "/tickets" not in answer.text.replace("linked/tickets", "").replace('"/tickets"', "")


@pytest.mark.feature("X-20")
async def test_language_follows_account_then_cookie_then_browser() -> None:
    async with browser(person(locale="de")) as web:
        assert '<html lang="de"' in (await web.get("/show/index")).text
    async with browser(None) as web:
        header = {"Accept-Language": "fr, ru;q=0.8, es;q=0.9"}
        assert '<html lang="es"' in (await web.get("/show/login", headers=header)).text
        asked = await web.get("/show/login?lang=de", headers=header)
        assert "Anmelden" in asked.text
        assert '<html lang="de"' in (await web.get("/show/login", headers=header)).text


async def test_the_theme_is_drawn_by_the_server() -> None:
    async with browser(person(theme="dark")) as web:
        assert 'data-theme="dark"' in (await web.get("/show/index")).text
        web.cookies.set("holdfast-look", ".light")
        assert 'data-theme="light"' in (await web.get("/show/index")).text


async def test_errors_are_a_page_a_toast_or_a_problem() -> None:
    async with browser(person()) as web:
        whole = await web.get("/gone")
        toast = await web.post("/late", headers=asking("ticket-now"))
        problem = await web.get("/api/v1/gone")
        lost = await web.get("/nowhere-at-all")
    assert whole.status_code == 404
    assert whole.text.startswith("<!doctype html>")
    assert "<h1>Nothing here</h1>" in whole.text
    assert toast.status_code == 409
    assert toast.headers["hx-retarget"] == "#toasts"
    assert toast.headers["hx-reswap"] == "beforeend"
    assert "Somebody was faster." in toast.text
    assert "<html" not in toast.text
    assert problem.headers["content-type"].startswith("application/problem+json")
    assert problem.json()["status"] == 404
    assert lost.status_code == 404
    assert "<h1>Nothing here</h1>" in lost.text


async def test_an_address_that_leads_nowhere_is_answered_in_ones_own_language() -> None:
    async with browser(None) as web:
        web.headers["Accept-Language"] = "de"
        lost = await web.get("/nowhere-at-all")
    assert lost.status_code == 404
    assert "<h1>Hier ist nichts</h1>" in lost.text


async def test_a_live_fragment_of_a_thing_that_is_gone_goes_too() -> None:
    async with browser(person()) as web:
        answer = await web.get("/gone", headers=asking("job-7"))
    assert answer.status_code == 404
    assert answer.headers["hx-reswap"] == "delete"
    assert answer.text == ""


async def test_a_fault_of_ours_shows_no_detail() -> None:
    async with browser(person()) as web:
        answer = await web.get("/broken")
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.text
    assert "a secret detail" not in answer.text


def _nonce(text: str) -> str:
    return str(re.findall(r'hx-nonce="([^"]+)"', text)[0])
