"""Numbers, letters and nestings no page of ours sends: every door answers in words, none breaks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import httpx
import pytest
from litestar.routes import HTTPRoute

from app.asgi import create_app
from app.core import settings
from tests.serving import ADMIN, ADMIN_PASSWORD, PASSWORD, Person, Server, serving

HUGE = ("9" * 30, "-" + "9" * 30, "9" * 4400, "9999-12-31", "%00", "%ed%a0%80")


@dataclass(frozen=True)
class Town:
    server: Server
    admin: Person
    user: Person
    token: str


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("doors")
    no_limit = {"HOLDFAST_RATE_WRITES": "0"}
    with (
        serving(folder / "data", no_limit) as server,
        Person(server.url) as admin,
        Person(server.url) as user,
    ):
        admin.sign_in()
        user.join(admin.invite(), "jana")
        made = admin.post("/account/tokens", name="t", scopes="admin:write", days="1")
        found = re.search(r"hf_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{49}", made.text)
        assert found
        yield Town(server, admin, user, found[0])


def doors() -> list[tuple[str, str, list[str]]]:
    """Method, path and names of the query of each page that takes a number or a word."""
    app = create_app(settings.load({"data_dir": Path("unused")}, {}), {}).litestar
    found = []
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path_format.startswith(("/api/", "/static/")):
            continue
        for handler in route.route_handlers:
            given = handler.parsed_fn_signature.parameters
            names = [name for name in given if f"{{{name}}}" not in route.path_format]
            method = "GET" if "GET" in handler.http_methods else "POST"
            if "OPTIONS" not in handler.http_methods and route.path_format != "/logout":
                found.append((method, route.path_format, names))
    return found


def test_no_number_and_no_day_breaks_a_page(town: Town) -> None:
    broken = []
    for method, path, names in doors():
        person = town.admin if path.startswith("/admin") else town.user
        for value in HUGE:
            here = re.sub(r"\{[^}]+\}", value, path)
            asked = [here] if here != path else []
            if method == "GET":
                one = re.sub(r"\{[^}]+\}", "1", path)
                asked += [f"{one}?{name}={value}" for name in names]
            for address in asked:
                answer = person.http.request(method, address)
                if answer.status_code >= 500:
                    broken.append((method, address[:80]))
    assert not broken


@pytest.mark.parametrize("letters", ["/日本", "/\u2028x", "/ü?q=я", "/%E6%97"])
def test_the_way_back_may_have_any_letters(town: Town, letters: str) -> None:
    with Person(town.server.url) as person:
        answer = person.post("/login", login=ADMIN, password=ADMIN_PASSWORD, next=letters)
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.isascii()
    assert httpx.URL(town.server.url).join(location).host == "localhost"


@pytest.mark.parametrize("body", ["[" * 100_000, '{"label":' * 50_000])
def test_a_body_nested_without_end_is_not_understood(town: Town, body: str) -> None:
    answer = httpx.post(
        f"{town.server.url}/api/v1/invites",
        content=body,
        headers={"Authorization": f"Bearer {town.token}", "Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["status"] == 400


def test_refused_requests_fill_no_disk(town: Town) -> None:
    for n in range(40):
        answer = httpx.post(f"{town.server.url}/x{n}", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
    connection = apsw.Connection(str(town.server.data_dir / "holdfast.db"))
    try:
        rows = connection.execute(
            "SELECT count(*) FROM audit_log WHERE action = 'request.refused'"
        ).fetchall()
    finally:
        connection.close()
    assert 1 <= int(str(rows[0][0])) <= 20


def test_the_first_sign_in_afterwards_still_works(town: Town) -> None:
    with Person(town.server.url) as person:
        person.sign_in("jana", PASSWORD)


def test_what_admins_do_to_firmware_asks_a_stale_admin_for_the_password(town: Town) -> None:
    # Longer ago than a quarter of an hour, by the row itself: the server's clock cannot be moved.
    connection = apsw.Connection(str(town.server.data_dir / "holdfast.db"))
    connection.set_busy_timeout(5000)
    with Person(town.server.url) as admin:
        admin.sign_in()
        connection.execute("UPDATE sessions SET reauthAt = '2020-01-01T00:00:00.000Z'").fetchall()
        for action in ("pin", "unpin", "evict"):
            answer = admin.post(f"/firmware/1/{action}")
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/account/confirm")
    connection.close()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("kind", ["image", "iframe", "empty", "script"])
def test_other_sites_make_a_browser_ask_for_nothing(town: Town, site: str, kind: str) -> None:
    # Ten pictures at /join/… shut who looks at them out of invites and recovery codes for an hour;
    # a neighbour on another port could take all streams of a session.
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": kind}
    assert town.user.get("/live", headers=headers).status_code == 403
    with Person(town.server.url) as guest:
        for n in range(12):
            assert guest.get(f"/join/unknown-{n}", headers=headers).status_code == 403
        assert guest.get("/join/unknown").status_code in (404, 429)


def test_a_link_on_another_site_still_leads_here(town: Town) -> None:
    headers = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert town.user.get("/account", headers=headers).status_code == 200


def test_everybodys_queries_ask_a_stale_admin_for_the_password(town: Town) -> None:
    connection = apsw.Connection(str(town.server.data_dir / "holdfast.db"))
    connection.set_busy_timeout(5000)
    with Person(town.server.url) as admin:
        admin.sign_in()
        assert admin.get("/firmware/queries/csv").status_code == 200
        connection.execute("UPDATE sessions SET reauthAt = '2020-01-01T00:00:00.000Z'").fetchall()
        answer = admin.get("/firmware/queries/csv")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/account/confirm")
        assert admin.get("/firmware/queries").status_code == 200
    connection.close()
