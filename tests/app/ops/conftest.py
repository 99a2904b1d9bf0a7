"""The program, an admin and two people, each with a browser."""

from dataclasses import dataclass

import httpx
import pytest

from tests.app.house import House


@dataclass(frozen=True)
class People:
    """Who looks."""

    admin: httpx.AsyncClient
    anna: httpx.AsyncClient
    ben: httpx.AsyncClient
    anna_id: str


@pytest.fixture
async def people(house_of: House) -> People:
    admin = await house_of.person("ada", role="admin")
    anna, ben = await house_of.person("anna"), await house_of.person("ben")
    return People(
        await house_of.browser(admin),
        await house_of.browser(anna),
        await house_of.browser(ben),
        anna,
    )
