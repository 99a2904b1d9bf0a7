"""A thousand guesses by fifty clients over HTTP: what the throttle lets through to argon2."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import httpx
import pytest

from app.accounts.service import passwords
from app.core import settings
from db.clock import FakeClock
from db.engine import DB
from tests.app.accounts.conftest import GOOD
from tests.app.house import House, running
from tests.app.web.server import running as served

pytestmark = pytest.mark.anyio

CLIENTS, EACH = 50, 20
# Who guesses, as (name, X-Forwarded-For as our proxy passes it on) of the n-th try.
CROWDS: dict[str, Callable[[int], tuple[str, str]]] = {
    "one name, one address": lambda _: ("bob", "198.51.100.1"),
    "one name, many addresses": lambda n: ("ada", f"203.0.113.{n % 250}"),
    "many names, one address": lambda n: (f"name{n}", "198.51.100.2"),
    "many names, addresses made up": lambda n: (f"other{n}", f"192.0.2.{n % 250}, 198.51.100.3"),
}
LIMITS = {
    "one name, one address": 5,
    "one name, many addresses": 30,
    "many names, one address": 30,
    "many names, addresses made up": 30,
}


async def enter(client: httpx.AsyncClient, name: str, password: str, ip: str) -> httpx.Response:
    form = {"login": name, "password": password}
    return await client.post("/login", data=form, headers={"X-Forwarded-For": ip})


async def with_password(house: House, login: str) -> None:
    user_id = await house.person(login)
    hashed = await (await passwords.current_hasher()).hash(GOOD)
    await DB.execute("UPDATE users SET password_hash = ? WHERE id = ?", (hashed, user_id))


@pytest.mark.feature("X-14")
async def test_of_a_thousand_guesses_ninety_five_reach_argon2_and_the_owner_gets_in(
    database: Path, clock: FakeClock
) -> None:
    async with running(database, trusted_proxies=("127.0.0.1",)) as house, served(house.app) as url:
        await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
        await with_password(house, "ada")
        await with_password(house, "bob")

        def client() -> httpx.AsyncClient:
            headers = {"Origin": url, "HX-Request": "true", "HX-Request-Type": "partial"}
            return httpx.AsyncClient(base_url=url, headers=headers, timeout=60)

        async with client() as hers, client() as elsewhere:
            assert (await enter(hers, "ada", GOOD, "198.51.100.77")).status_code < 400
            before = passwords.hashed()
            seen = {name: await guessed(client, name) for name in CROWDS}
            for name, answers in seen.items():
                assert set(answers) <= {422, 429, 503}, name
                assert answers[422] <= LIMITS[name], name
            reached = passwords.hashed() - before
            assert sum(answers.total() for answers in seen.values()) == CLIENTS * EACH
            assert reached == sum(answers[422] for answers in seen.values())
            assert reached > 50, "the control: guesses that are let through are counted"
            hers.cookies.delete("holdfast")
            stranger = await enter(elsewhere, "ada", GOOD, "198.51.100.78")
            assert stranger.status_code == 429, "the control: the name is held up elsewhere"
            assert (await enter(hers, "ada", GOOD, "198.51.100.77")).status_code < 400


async def guessed(client: Callable[[], httpx.AsyncClient], name: str) -> Counter[int]:
    """The answers to a quarter of all guesses, from fifty clients at once."""
    who, each = CROWDS[name], EACH // len(CROWDS)

    async def one(number: int) -> list[int]:
        async with client() as guesser:
            return [
                (await enter(guesser, login, "wrong guess", ip)).status_code
                for login, ip in map(who, range(number * each, (number + 1) * each))
            ]

    codes = await asyncio.gather(*map(one, range(CLIENTS)))
    return Counter(chain.from_iterable(codes))
