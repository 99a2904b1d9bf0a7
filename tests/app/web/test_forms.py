"""Forms: what was typed, and what a service gets of it."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import msgspec
import pytest
from litestar import Litestar, post
from msgspec import Meta

from app.core.errors import Invalid
from app.web import forms
from app.web.auth import WebRequest


class Order(msgspec.Struct, frozen=True):
    """A form with one field of each sort."""

    name: Annotated[str, Meta(min_length=2, max_length=8)]
    hours: Annotated[int, Meta(ge=1, le=720)] = 72
    wanted: bool = False
    password: str = ""
    domains: tuple[str, ...] = ()


def refused(**posted: str | list[str]) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        forms.check(dict(posted), Order)
    return caught.value.fields


def test_values_get_their_types_and_lose_their_edges() -> None:
    order = forms.check(
        {"name": " Jana ", "hours": "24", "wanted": "1", "password": " a b ", "domains": "tickets"},
        Order,
    )
    assert order == Order("Jana", 24, wanted=True, password=" a b ", domains=("tickets",))


def test_an_empty_field_counts_as_not_sent() -> None:
    assert forms.check({"name": "Jana", "hours": "", "domains": ["a", "b"]}, Order) == Order(
        "Jana", 72, domains=("a", "b")
    )
    assert refused(name="  ") == {"name": "Please fill this in."}


@pytest.mark.parametrize(
    ("hours", "sentence"),
    [
        ("0", "At least 1, please."),
        ("721", "At most 720, please."),
        ("soon", "A whole number, please."),
    ],
)
def test_a_wrong_number_is_named_with_its_bounds(hours: str, sentence: str) -> None:
    assert refused(name="Jana", hours=hours) == {"hours": sentence}


def test_a_wrong_length_is_named() -> None:
    assert refused(name="J") == {"name": "This is too short."}
    assert refused(name="J" * 9) == {"name": "This is too long."}


def test_a_field_nobody_asked_for_is_refused() -> None:
    assert "role" in refused(name="Jana", role="admin")["form"]


@pytest.mark.anyio
async def test_a_post_is_read_as_it_came() -> None:
    seen: list[Any] = []

    @post("/", status_code=200)
    async def take(request: WebRequest) -> str:
        seen.append(await forms.read(request))
        return ""

    app = Litestar([take], openapi_config=None)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as web:
        await web.post("/", data={"name": " Jana ", "domains": ["a", "b", "c"]})
    assert seen == [{"name": " Jana ", "domains": ["a", "b", "c"]}]
