"""Cookies in, people out: the session middleware, the guard, and the cookies the server signs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.middleware import DefineMiddleware
from litestar.params import FromPath

from app.core import vault
from app.core.errors import AppError
from app.web import auth, cookies
from app.web.auth import WebRequest
from app.web.links import Below, House
from db import clock as time
from db.clock import FakeClock
from db.engine import ApswEngine

pytestmark = pytest.mark.anyio

TOKEN = "T" * 43


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What a session reader finds."""

    id: str = "u1"
    login: str = "ada"
    role: str = "user"
    domains: tuple[str, ...] = ("tickets",)
    locale: str = "en"
    theme: str = "auto"
    time_zone: str = ""
    session_id: str = "s1"
    auth_level: int = 1
    reauth_at: str | None = None
    remember: bool = False
    new_token: str | None = None


class Book:
    """A reader of sessions that keeps them in a dict and notes each look."""

    def __init__(self, **visits: Visit) -> None:
        self.visits = visits
        self.looks: list[str] = []

    async def read(self, token: str) -> Visit | None:
        self.looks.append(token)
        return self.visits.get(token)


def told(request: WebRequest) -> dict[str, Any]:
    return {"user": request.user.login if request.user else None, "ip": auth.client_ip(request)}


def route(path: str, access: str | None) -> Any:
    @get(path, opt={} if access is None else {"access": access}, name=f"at{path}")
    async def handler(request: WebRequest) -> dict[str, Any]:
        return told(request)

    return handler


@get("/mine", opt={"access": "user"})
async def mine(user_id: NamedDependency[str]) -> str:
    return user_id


@get("/nobodys", opt={"access": "public"})
async def nobodys(user_id: NamedDependency[str]) -> str:
    return user_id


@post("/enter", opt={"access": "public"}, status_code=200)
async def enter(request: WebRequest) -> Response[str]:
    response = Response("")
    cookies.set_session_cookie(response, request, "N" * 43, remember=True)
    return response


@get("/login", opt={"access": "anon_only"}, name="login")
async def login() -> str:
    return "the door"


def app_error(_: Any, error: AppError) -> Response[str]:
    return Response("", status_code=error.status)


ACCESS = ("public", "anon_only", "user", "user:tickets", "user:firmware", "admin", "token:x:read")


def make_app(book: Book, *more: Any, root: str = "") -> House:
    return House(
        route_handlers=[
            *(route("/" + access.replace(":", "-"), access) for access in ACCESS),
            route("/forgotten", None),
            route("/static/file", "public"),
            mine,
            nobodys,
            enter,
            login,
            *more,
        ],
        middleware=[DefineMiddleware(auth.SessionMiddleware, read=book.read)],
        guards=[auth.guard],
        dependencies={"user_id": Provide(auth.provide_user_id)},
        exception_handlers={**auth.EXCEPTION_HANDLERS, AppError: app_error},
        openapi_config=None,
        state=State({"root": root}),
    )


@asynccontextmanager
async def opened(
    book: Book,
    cookie: str = "",
    *more: Any,
    base: str = "https://h.example",
    root: str = "",
    **transport: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Cookie": cookie} if cookie else {}
    asgi: Any = Below(make_app(book, *more, root=root), root)
    carrier = httpx.ASGITransport(asgi, **transport)
    async with httpx.AsyncClient(transport=carrier, base_url=base, headers=headers) as client:
        yield client


SIGNED_IN = f"__Host-holdfast={TOKEN}"


@pytest.mark.feature("X-30")
@pytest.mark.parametrize(
    ("who", "statuses"),
    [
        (None, (200, 200, 303, 303, 303, 303, 401)),
        (Visit(auth_level=0), (200, 200, 303, 303, 303, 303, 401)),
        (Visit(), (200, 303, 200, 200, 404, 403, 401)),
        (
            Visit(role="admin", domains=(), reauth_at=time.text()),
            (200, 303, 200, 404, 404, 200, 401),
        ),
    ],
    ids=["nobody", "half", "user", "admin"],
)
async def test_each_kind_of_access_lets_pass_whom_it_names(
    who: Visit | None, statuses: tuple[int, ...]
) -> None:
    book = Book(**({TOKEN: who} if who else {}))
    async with opened(book, SIGNED_IN) as client:
        answers = [
            (await client.get("/" + access.replace(":", "-"))).status_code for access in ACCESS
        ]
        assert tuple(answers) == statuses
        for method in ("OPTIONS", "HEAD", "PUT", "DELETE"):
            assert (await client.request(method, "/user")).status_code == 405


@pytest.mark.parametrize("who", [None, Visit(), Visit(role="admin")])
async def test_a_route_that_names_nobody_lets_nobody_pass(who: Visit | None) -> None:
    async with opened(Book(**({TOKEN: who} if who else {})), SIGNED_IN) as client:
        assert (await client.get("/forgotten")).status_code in {303, 403}


@pytest.mark.feature("X-30")
def test_an_app_with_such_a_route_does_not_start() -> None:
    with pytest.raises(ValueError, match="/forgotten") as refusal:
        auth.require_access_declared(make_app(Book()))
    assert "/public" not in str(refusal.value)
    for wrong in ("", "users", "user:", "ADMIN", "token"):
        with pytest.raises(ValueError, match="/wrong"):
            auth.require_access_declared(House([route("/wrong", wrong)], openapi_config=None))
    auth.require_access_declared(House([route("/right", "user:tickets")], openapi_config=None))


async def test_a_request_looks_once_and_only_where_somebody_may_be() -> None:
    book = Book(**{TOKEN: Visit()})
    async with opened(book, SIGNED_IN) as client:
        await client.get("/user")
        assert book.looks == [TOKEN]
        await client.get("/static/file")
        assert book.looks == [TOKEN]
    async with opened(book) as client:
        await client.get("/public")
        assert book.looks == [TOKEN]


@pytest.mark.parametrize(
    "cookie",
    [
        "__Host-holdfast=short",
        f"__Host-holdfast={TOKEN}x",
        f"__Host-holdfast={TOKEN}; __Host-holdfast={TOKEN}",
        f"holdfast={TOKEN}",
        f"__Host-holdfast-known={TOKEN}",
        f"x__Host-holdfast={TOKEN}",
        f"__host-holdfast={TOKEN}",
        "__Host-holdfast=" + "\xff" * 43,
    ],
)
async def test_only_the_one_cookie_in_its_one_form_counts(cookie: str) -> None:
    book = Book(**{TOKEN: Visit()})
    asgi: Any = make_app(book)
    carrier = httpx.ASGITransport(asgi)
    async with httpx.AsyncClient(transport=carrier, base_url="https://h.example") as client:
        answer = await client.get("/public", headers=[(b"cookie", cookie.encode("latin-1"))])
        assert answer.json()["user"] is None
        assert book.looks == []


async def test_an_unknown_token_is_cleared_and_a_good_one_left_alone() -> None:
    async with opened(Book(), SIGNED_IN) as client:
        header = (await client.get("/public")).headers["set-cookie"]
        assert header.startswith('__Host-holdfast="";')
        assert "Max-Age=0" in header
        assert "Secure" in header, "without it a browser refuses to touch a __Host- cookie"
        assert "set-cookie" in (await client.get("/user")).headers, "on a redirect too"
    async with opened(Book(**{TOKEN: Visit()}), SIGNED_IN) as client:
        assert "set-cookie" not in (await client.get("/public")).headers


async def test_a_renewed_token_is_handed_out_also_with_an_error() -> None:
    book = Book(**{TOKEN: Visit(new_token="N" * 43, remember=True)})
    async with opened(book, SIGNED_IN) as client:
        for path in ("/public", "/admin"):
            header = (await client.get(path)).headers["set-cookie"]
            assert header.startswith("__Host-holdfast=" + "N" * 43)
            assert "Max-Age=7776000" in header


async def test_what_the_handler_says_about_the_cookie_is_the_last_word() -> None:
    async with opened(Book(), SIGNED_IN) as client:
        headers = (await client.post("/enter")).headers.get_list("set-cookie")
        assert len(headers) == 1
        assert headers[0].startswith("__Host-holdfast=" + "N" * 43)


async def test_a_handler_without_a_person_gets_none() -> None:
    async with opened(Book(**{TOKEN: Visit()}), SIGNED_IN) as client:
        assert (await client.get("/mine")).text == "u1"
    async with opened(Book()) as client:
        assert (await client.get("/mine")).status_code == 303
        assert (await client.get("/nobodys")).status_code == 303


async def test_the_door_is_below_the_subpath_too() -> None:
    async with opened(Book(), root="/x/y") as client:
        answer = await client.get("/x/y/user", params={"a": "b c"})
        assert answer.headers["location"] == "/x/y/login?next=/x/y/user%3Fa%3Db%2Bc"
    async with opened(Book(**{TOKEN: Visit()}), SIGNED_IN, root="/x/y") as client:
        assert (await client.get("/x/y/login")).headers["location"] == "/x/y/"


async def test_a_post_is_not_repeated_after_signing_in() -> None:
    @post("/change", opt={"access": "user"})
    async def change() -> None: ...

    async with opened(Book(), "", change) as client:
        assert (await client.post("/change")).headers["location"] == "/login"


@pytest.mark.parametrize(
    ("peer", "ip"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("somewhere", ""),
    ],
)
async def test_the_address_is_that_of_the_connection(peer: str, ip: str) -> None:
    async with opened(Book(), client=(peer, 1)) as client:
        answer = await client.get("/public", headers={"X-Forwarded-For": "203.0.113.9"})
        assert answer.json()["ip"] == ip


@pytest.mark.parametrize(
    "evil",
    [
        "",
        "//h",
        "/\\h",
        "\\/h",
        "https:h",
        "https://h/",
        "/%2f%2fh",
        "/%5ch",
        "/\th",
        "/\nh",
        "\t//h",
        "/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "tickets",
        "/%09/h",
        "/ /h",
    ],
)
def test_next_never_leaves_the_site(evil: str) -> None:
    assert auth.safe_next(evil) == "/"


@pytest.mark.parametrize("good", ["/", "/tickets", "/tickets?q=a&b=%C3%BC", "/x/y/jobs/1#log"])
def test_next_keeps_a_path(good: str) -> None:
    assert auth.safe_next(good) == good


@pytest.fixture
async def keys(db: ApswEngine, data_dir: Path) -> AsyncIterator[None]:
    await vault.load(data_dir, {})
    yield
    vault.close()


def signing() -> list[Any]:
    @get("/keep", opt={"access": "public"})
    async def keep(request: WebRequest) -> Response[str]:
        response = Response("")
        cookies.set_signed_cookie(response, request, cookies.JOIN, "a secret", 60)
        return response

    @get("/kept/{name:str}", opt={"access": "public"})
    async def kept(request: WebRequest, name: FromPath[str]) -> str:
        return cookies.read_signed_cookie(request, name, 60) or "nothing"

    return [keep, kept]


@pytest.mark.usefixtures("keys")
async def test_a_signed_cookie_says_what_it_was_given_for_a_while(clock: FakeClock) -> None:
    async with opened(Book(), "", *signing()) as client:
        header = (await client.get("/keep")).headers["set-cookie"]
        for part in ("__Host-holdfast-join=", "HttpOnly", "Secure", "SameSite=lax", "Max-Age=60"):
            assert part in header
        assert (await client.get(f"/kept/{cookies.JOIN}")).text == "a secret"
        clock.advance(61)
        assert (await client.get(f"/kept/{cookies.JOIN}")).text == "nothing"


@pytest.mark.usefixtures("keys")
async def test_a_forged_moved_or_doubled_one_says_nothing(clock: FakeClock) -> None:
    async with opened(Book(), "", *signing()) as client:
        await client.get("/keep")
        text = client.cookies["__Host-holdfast-join"]
    last = "A" if text[-1] != "A" else "Q"
    for cookie in (
        f"__Host-{cookies.KNOWN}={text}",
        f"__Host-{cookies.JOIN}={text[:-1]}{last}",
        f"__Host-{cookies.JOIN}={text}; __Host-{cookies.JOIN}={text}",
        f"__Host-{cookies.JOIN}=x.y.z",
        f"{cookies.JOIN}={text}",
    ):
        async with opened(Book(), cookie, *signing()) as client:
            for name in (cookies.JOIN, cookies.KNOWN):
                assert (await client.get(f"/kept/{name}")).text == "nothing", cookie
    async with opened(Book(), f"__Host-{cookies.JOIN}={text}", *signing()) as client:
        assert (await client.get(f"/kept/{cookies.JOIN}")).text == "a secret"


async def test_a_stream_asks_again_who_it_belongs_to() -> None:
    book = Book(s1=Visit(role="admin"), s2=Visit(auth_level=0))
    reload = auth.reloader(book.read)
    found = await reload("s1")
    assert found is not None
    assert found.is_admin
    assert await reload("s2") is None
    assert await reload("s3") is None
