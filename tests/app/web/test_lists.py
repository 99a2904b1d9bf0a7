"""Lists whose state stands in the address, on the lists of people, invites and the audit log."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from app.core.ordering import order_by
from app.web.lists import Listing
from db.engine import DB
from tests.app.house import House, running

pytestmark = [pytest.mark.anyio, pytest.mark.feature("X-57")]

NAMES = ("Zoë", "anna", "=SUM(A1)", "Ben", *(f"guest{number:02}" for number in range(60)))
NAME = re.compile(r'<th scope="row" class="wide"><a [^>]*>([^<]+)</a>')


@pytest.fixture(scope="module")
async def house(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    database = tmp_path_factory.mktemp("lists") / "holdfast.db"
    database.write_bytes(migrated.read_bytes())
    async with running(database) as made:
        boss = await made.person("boss", role="admin")
        for number, name in enumerate(NAMES):
            await DB.execute(
                "INSERT INTO users (id, login, role, invited_by, created_at)"
                " VALUES (?1, ?1, 'user', ?2, ?3)",
                (name, boss, f"2026-01-{number // 24 + 1:02}T{number % 24:02}:00:00.000Z"),
            )
        yield made


@pytest.fixture
async def web(house: House) -> AsyncIterator[httpx.AsyncClient]:
    user_id = await DB.value("SELECT id FROM users WHERE login = 'boss'")
    async with await house.browser(user_id) as client:
        yield client


async def names(web: httpx.AsyncClient, address: str) -> list[str]:
    answer = await web.get(address)
    assert answer.status_code == 200, address
    return [unescape(name) for name in NAME.findall(answer.text)]


def link(html: str, words: str) -> str:
    found = re.search(rf'href="([^"]+)"[^>]*>(?:<[^>]*>)*{words}', html)
    assert found, words
    return unescape(found[1])


async def test_a_head_sorts_and_turns_round_and_says_so(web: httpx.AsyncClient) -> None:
    first = await web.get("/admin/users?q=a")
    assert '<th scope="col" class="wide" aria-sort="ascending">' in first.text
    turned = link(first.text, "Name")
    assert turned == "/admin/users?q=a&sort=-name"
    ways = await names(web, "/admin/users?q=a"), await names(web, turned)
    assert ways[0] == list(reversed(ways[1]))
    assert ways[0] == sorted(ways[0], key=str.casefold)
    assert "Ben" not in ways[0]
    newest = await names(web, "/admin/users?sort=-made")
    assert newest[1] == NAMES[-1]


@pytest.mark.parametrize("odd", ["sort=password_hash", "sort=name;--", "at=-5", "at=1e9", "at=９"])
async def test_what_makes_no_sense_in_the_address_is_left_out(
    web: httpx.AsyncClient, odd: str
) -> None:
    assert await names(web, f"/admin/users?{odd}") == await names(web, "/admin/users")


async def test_pages_keep_filter_and_order(web: httpx.AsyncClient) -> None:
    first = await web.get("/admin/users?q=guest&sort=-name")
    on = link(first.text, "Next")
    second = await web.get(on)
    assert NAME.findall(second.text) == [f"guest{number:02}" for number in range(9, -1, -1)]
    back = await names(web, link(second.text, "Previous"))
    assert back == NAME.findall(first.text)
    assert "51 to 60" in second.text


async def test_who_comes_later_waits_behind_a_pill_and_moves_nothing(
    web: httpx.AsyncClient, house: House
) -> None:
    first = await web.get("/admin/users")
    here = re.search(r'id="user-rows"[^>]*hx-get="([^"]+)"', first.text)
    assert here
    assert "newrows" not in first.text
    late = await house.person("aaron")
    try:
        asked = {"HX-Request": "true", "HX-Request-Type": "partial"}
        again = await web.get(unescape(here[1]), headers=asked)
        assert NAME.findall(again.text) == NAME.findall(first.text)
        assert "1 new person" in again.text
        shown = await names(web, link(again.text, "1 new person"))
        assert shown[1] == "aaron"
    finally:
        await DB.execute("DELETE FROM users WHERE id = ?", (late,))


async def test_the_file_has_the_rows_of_the_filter_and_computes_nothing(
    web: httpx.AsyncClient,
) -> None:
    address = link((await web.get("/admin/users?q=u&sort=-name")).text, "CSV")
    answer = await web.get(address)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    wanted = sorted((name for name in NAMES if "u" in name.lower()), key=str.casefold)
    assert len(rows) == len(wanted) > 50, "all of them, not a page"
    assert [row["login"] for row in rows if row["login"][0] != "'"] == wanted[:0:-1]
    assert "'=SUM(A1)" in {row["login"] for row in rows}


async def test_chosen_rows_are_changed_and_the_list_stands_where_it_was(
    web: httpx.AsyncClient,
) -> None:
    page = (await web.get("/admin/users?q=guest&sort=-name")).text
    back = re.search(r'name="back" value="([^"]*)"', page)
    assert back
    form = {"action": "disable", "id": ["guest01", "guest02"], "back": unescape(back[1])}
    answer = await web.post("/admin/users/bulk", data=form)
    assert answer.headers["location"] == "/admin/users?q=guest&sort=-name"
    off = {row["id"] for row in await DB.all("SELECT id FROM users WHERE is_active = 0")}
    assert off == {"guest01", "guest02"}
    undo = re.search(r'<div class="toast".*?<form.*?</form>', (await web.get("/admin/users")).text)
    assert undo, "the way back stands beside the word"
    fields = [
        (unescape(name), unescape(value))
        for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', undo[0])
    ]
    taken = {name: [each for other, each in fields if other == name] for name, _ in fields}
    answer = await web.post("/admin/users/bulk", data=taken)
    assert answer.headers["location"] == "/admin/users?q=guest&sort=-name"
    assert await DB.value("SELECT count(*) FROM users WHERE is_active = 0") == 0
    nothing = await web.post("/admin/users/bulk", data={"action": "disable"})
    assert nothing.status_code == 422
    me = await DB.value("SELECT id FROM users WHERE login = 'boss'")
    await web.post("/admin/users/bulk", data={"action": "disable", "id": [me]})
    assert (await web.get("/admin/users")).status_code == 200, "nobody shuts themselves out"


async def test_invites_are_sorted_filed_and_revoked_together(web: httpx.AsyncClient) -> None:
    for label in ("b", "a", "c"):
        form = {"label": label, "hours": "72", "role": "user", "domains": "tickets"}
        assert (await web.post("/admin/invites", data=form)).status_code == 200
    answer = await web.get("/admin/invites/csv?sort=for")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["label"] for row in rows] == ["a", "b", "c"]
    assert "token" not in rows[0], "the secret's stored form is nobody's business"
    chosen = {"action": "revoke", "id": [row["short"] for row in rows[:2]], "back": "state=open"}
    answer = await web.post("/admin/invites/bulk", data=chosen)
    assert answer.headers["location"] == "/admin/invites?state=open"
    left = list(csv.DictReader(io.StringIO((await web.get("/admin/invites/csv")).text)))
    assert {row["label"]: row["state"] for row in left} == {
        "a": "revoked",
        "b": "revoked",
        "c": "open",
    }
    page = (await web.get("/admin/invites")).text
    assert ">Undo<" in page
    fields = re.findall(r'<input type="hidden" name="(action|id|back)" value="([^"]*)">', page)
    undo = {"action": "reopen", "back": "state=open", "id": chosen["id"]}
    assert [value for name, value in fields if name == "id"] == chosen["id"]
    answer = await web.post("/admin/invites/bulk", data=undo)
    assert answer.headers["location"] == "/admin/invites?state=open"
    left = list(csv.DictReader(io.StringIO((await web.get("/admin/invites/csv")).text)))
    assert [row["state"] for row in left] == ["open"] * 3
    assert await web.post("/admin/invites/bulk", data=chosen)
    await DB.execute("UPDATE invite_tokens SET revoked_at = '2020-01-01T00:00:00.000Z'")
    await web.post("/admin/invites/bulk", data=undo)
    left = list(csv.DictReader(io.StringIO((await web.get("/admin/invites/csv")).text)))
    assert [row["state"] for row in left] == ["revoked"] * 3, "what was meant stays"


async def test_the_log_turns_round_and_says_changes_in_words(web: httpx.AsyncClient) -> None:
    first = (await web.get("/admin/audit")).text
    lines = re.findall(r'<tr id="line-(\d+)"', first)
    turned = re.findall(r'<tr id="line-(\d+)"', (await web.get(link(first, "Time"))).text)
    assert len(lines) > 2
    assert lines == list(reversed(turned))
    assert "{&#34;" not in first, "no raw JSON"


def test_an_address_says_only_what_is_not_usual() -> None:
    listing = Listing("/x", {"state": "", "q": "a b"}, sort="name", usual="name")
    assert listing.to() == "/x?q=a+b"
    assert listing.to(state="open") == "/x?state=open&q=a+b"
    assert Listing("/x").to() == "/x"


def test_only_orders_that_are_offered_reach_the_database() -> None:
    orders = {"name": ("u.login COLLATE NOCASE", "u.id")}
    assert order_by("-name", orders, "name") == "u.login COLLATE NOCASE DESC, u.id DESC"
    assert order_by("1; DROP", orders, "name") == "u.login COLLATE NOCASE ASC, u.id ASC"
