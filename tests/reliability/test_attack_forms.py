"""Forms made to hurt: what a stranger posts costs little, and nothing of it stays behind."""

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from litestar import Litestar, post
from litestar._parsers import parse_url_encoded_form_data

from app.web import forms
from app.web.auth import WebRequest

pytestmark = pytest.mark.anyio

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@post("/door", status_code=200)
async def door(request: WebRequest) -> dict[str, str | list[str]]:
    return await forms.read(request)


async def knock(body: bytes, **headers: str) -> httpx.Response:
    app = Litestar([door], openapi_config=None, request_max_body_size=1024 * 1024)
    asgi: Any = app
    transport = httpx.ASGITransport(asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post("/door", content=body, headers=FORM | headers)


@pytest.mark.parametrize("field", ["a=1", "a", "=", ""], ids=["pairs", "names", "empty", "nothing"])
async def test_a_form_of_a_hundred_thousand_fields_is_refused_unread(field: str) -> None:
    assert (await knock("&".join([field] * 100_000).encode())).status_code == 413


async def test_as_many_fields_as_any_form_of_ours_has_are_read() -> None:
    body = urlencode([("a", str(n)) for n in range(forms.MOST_FIELDS)]).encode()
    assert (await knock(body)).json() == {"a": [str(n) for n in range(forms.MOST_FIELDS)]}


async def test_signs_come_through_as_they_were_typed() -> None:
    body = b"a=1+2%2B3&b=%C3%A9&c=\xc3\xa9&d=x=y&e=&f&&g%20h=%26"
    assert (await knock(body)).json() == {
        "a": "1 2+3",
        "b": "é",
        "c": "é",
        "d": "x=y",
        "e": "",
        "f": "",
        "g h": "&",
    }


async def test_no_cache_keeps_the_form_with_the_password_in_it() -> None:
    before = parse_url_encoded_form_data.cache_info().currsize
    assert (await knock(b"login=ada&password=left-behind-47c1")).status_code == 200
    assert parse_url_encoded_form_data.cache_info().currsize == before
