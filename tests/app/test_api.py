"""`/api/v1` as a program meets it: tokens only, problem details, what its description promises."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as effort
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.accounts.service import tokens
from app.asgi import create_app
from app.core import settings
from app.tickets.service import logins
from app.web import openapi
from db.engine import DB
from tests.app.house import HOME, House, running

APP = create_app(settings.load({"data_dir": Path("unused")}, {}), {})
DESCRIBED = openapi.describe(tuple(APP.litestar.state.api))
SCHEMA = schemathesis.openapi.from_dict(DESCRIBED)
ALL = sorted({one["x-scope"] for path in DESCRIBED["paths"].values() for one in path.values()})


async def bearer(user_id: str, *scopes: str) -> dict[str, str]:
    made = await tokens.create_token(
        user_id, name="x", scopes=scopes or ALL, possible=scopes or ALL
    )
    return {"Authorization": f"Bearer {made.text}"}


@pytest.fixture
async def house(database: Path) -> AsyncIterator[House]:
    async with running(database, rate_writes=0) as opened:
        yield opened


@pytest.mark.anyio
@pytest.mark.feature("X-32")
async def test_lists_and_do_it_now_for_programs(house: House) -> None:
    bea = await house.person("bea")
    await logins.save_login(bea, "uk000001", "pw-1")
    head = await bearer(bea, "tickets:read", "tickets:write", "jobs:read", "jobs:write")
    async with house.client() as client:
        del client.headers["Origin"]
        assert (await client.get("/api/v1/tickets", headers=head)).json() == {"tickets": []}
        asked = await client.post("/api/v1/tickets/download", headers=head)
        assert asked.status_code == 202, asked.text
        job = asked.json()["job_id"]
        listed = await client.get("/api/v1/jobs?limit=1", headers=head)
        assert [one["id"] for one in listed.json()["jobs"]] == [job]
        assert (await client.get(f"/api/v1/jobs/{job}", headers=head)).json()["id"] == job
        never = await client.get("/api/v1/jobs/never", headers=head)
        assert never.status_code == 404
        assert never.headers["content-type"].startswith("application/problem+json")
        assert never.json()["status"] == 404
        described = await client.get("/schema/openapi.json", headers=head)
        assert "/api/v1/tickets/download" in described.json()["paths"]


@pytest.mark.anyio
@pytest.mark.feature("X-08")
async def test_a_token_opens_what_it_says_and_only_there(house: House) -> None:
    bea = await house.person("bea")
    head = await bearer(bea, "jobs:read")
    text = head["Authorization"].removeprefix("Bearer ")
    cookie = {"Cookie": f"holdfast={await house.session(bea)}"}
    async with house.client() as client:
        assert (await client.get("/api/v1/jobs", headers=head)).status_code == 200
        refused = await client.post("/api/v1/tickets/download", headers=head)
        assert refused.status_code == 403
        for headers in (
            {},
            cookie,
            {"Authorization": f"Basic {text}"},
            {"Authorization": text},
            {"X-Api-Key": text},
            {"Cookie": f"holdfast={text}"},
        ):
            locked = await client.get("/api/v1/jobs", headers=headers)
            assert locked.status_code == 401, headers
            assert locked.headers["WWW-Authenticate"].startswith("Bearer")
        twice = [("Authorization", head["Authorization"]), ("Authorization", "Bearer x")]
        assert (await client.get("/api/v1/jobs", headers=twice)).status_code == 401
        assert (await client.get(f"/api/v1/jobs?token={text}")).status_code == 401
        on_a_page = await client.get("/account", headers=head)
        assert on_a_page.headers["location"].startswith("/login")
    assert await DB.value("SELECT count(*) FROM queueJobs WHERE type LIKE 'tickets%'") == 0


@pytest.mark.anyio
async def test_admins_see_people_and_make_invites_by_token(house: House) -> None:
    boss, bea = await house.person("boss", role="admin"), await house.person("bea")
    head = await bearer(boss, "admin:read", "admin:write")
    async with house.client() as client:
        found = (await client.get("/api/v1/users?q=be", headers=head)).json()
        assert [one["login"] for one in found["users"]] == ["bea"]
        assert not {"password_hash", "flags"} & set(found["users"][0])
        made = await client.post("/api/v1/invites", headers=head, json={"label": "Carl"})
        assert made.status_code == 201
        assert "/join/" in made.json()["link"]
        for extra in ({"role": "owner"}, {"created_by": bea}, {"hours": 721}, {"label": "x" * 81}):
            wrong = await client.post("/api/v1/invites", headers=head, json=extra)
            assert wrong.status_code in (400, 422), extra
        # What the owner may no longer do the token may not either.
        await DB.execute("UPDATE users SET role = 'user' WHERE id = ?", (boss,))
        assert (await client.get("/api/v1/users", headers=head)).status_code == 403


@pytest.mark.anyio
@pytest.mark.feature("X-42")
async def test_too_many_requests_are_told_when_to_come_back(database: Path) -> None:
    async with running(database, rate_anonymous=5, rate_writes=3) as house:
        bea = await house.browser(await house.person("bea"))
        async with house.client() as stranger, bea:
            seen = [(await stranger.get("/login")).status_code for _ in range(7)]
            assert seen == [200] * 5 + [429] * 2
            refused = await stranger.get("/login")
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
            assert (await stranger.get("/static/app.js")).status_code in (200, 404)
            assert (await bea.get("/account")).status_code == 200, "others go on"
            assert [(await bea.get("/jobs")).status_code for _ in range(9)] == [200] * 9
            posts = [await bea.post("/account", data={"part": "x"}) for _ in range(4)]
            assert [one.status_code for one in posts] == [404] * 3 + [429]


@pytest.mark.anyio
async def test_only_our_own_names_are_answered(database: Path) -> None:
    names = "holdfast.example.org,*.lan"
    async with running(database, allowed_hosts=names) as house, house.client() as client:
        for host, status in {
            "holdfast.example.org": 200,
            "HOLDFAST.example.org:443": 200,
            "box.lan": 200,
            "localhost:8040": 200,
            "evil.example": 400,
            "holdfast.example.org.evil.example": 400,
            "lan": 400,
            "xlan": 400,
        }.items():
            answer = await client.get("/login", headers={"Host": host})
            assert answer.status_code == status, host
        assert (await client.get("/healthz", headers={"Host": "10.0.0.3"})).status_code == 200


# ---- what the description promises ----

PROMISES = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def operations() -> list[Any]:
    return [result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)]


def examples(operation: Any, mode: GenerationMode) -> list[Any]:
    """Ten requests that fit the description, or do not."""
    found: list[Any] = []

    @effort(
        max_examples=10,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        found.append(case)

    with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked
        collect()
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("operation", operations(), ids=lambda one: str(one.label))
async def test_an_operation_answers_as_it_is_described(house: House, operation: Any) -> None:
    """20 examples an operation: never a fault of ours, always a promised status and shape."""
    head = await bearer(await house.person("boss", role="admin"))
    good = examples(operation, GenerationMode.POSITIVE)
    bad = examples(operation, GenerationMode.NEGATIVE)
    assert good
    async with house.client() as client:
        for case in [*good, *bad]:
            sent = case.as_transport_kwargs(base_url=HOME)
            known = {"method", "url", "params", "json", "data", "headers"}
            wanted = {name: value for name, value in sent.items() if name in known}
            wanted["headers"] = {**dict(wanted.get("headers") or {}), **head}
            if isinstance(wanted.get("data"), bytes | str):
                wanted["content"] = wanted.pop("data")
            answer = await client.request(**wanted)
            case.validate_response(answer, checks=PROMISES)
            if case in good:
                assert answer.status_code not in (401, 403), answer.text
