"""Files that people send, at a real server: limits, kinds, names, and nothing left behind."""

import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from litestar import Litestar, Request, Response, post
from litestar.exceptions import HTTPException

from app.server import http_config
from app.web.headers import Headers
from app.web.uploads import MOST_FIELDS, kind_of, receive, shown_name
from tests.app.web.server import page, running, serving

pytestmark = pytest.mark.anyio

MOST = 256 * 1024
ROUTE = 64 * 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"


class Place(NamedTuple):
    client: httpx.AsyncClient
    folder: Path

    @property
    def left(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()]


def app_of(folder: Path, most: int) -> Any:
    @post("/", opt={"access": "public"}, request_max_body_size=ROUTE, status_code=200)
    async def take(request: Request[Any, Any, Any]) -> dict[str, Any]:
        wanted = request.query_params.get("kinds", "")
        kinds = wanted.split(",") if wanted else ()
        async with receive(request, folder, most_bytes=most, kinds=kinds) as posted:
            files = [
                [one.field, one.name, one.kind, one.size, oct(one.path.stat().st_mode)[-3:]]
                for one in posted.files
            ]
            return {"form": posted.form, "files": files}

    def refused(_request: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
        return Response("", status_code=error.status_code)

    inside = Litestar(
        [take],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: refused},
    )
    return Headers(inside)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    folder = tmp_path / "tmp"
    folder.mkdir()
    async with (
        serving(http_config(app_of(folder, MOST))) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield Place(client, folder)


def cover(name: str = "x.png", data: bytes = PNG) -> dict[str, Any]:
    return {"cover": (name, data, "image/png")}


@pytest.mark.feature("X-41")
async def test_a_file_comes_with_its_fields_and_goes_with_the_request(place: Place) -> None:
    answer = await place.client.post("/", data={"title": "ü"}, files=cover("me.png", PNG + b"x"))
    assert answer.json() == {
        "form": {"title": "ü"},
        "files": [["cover", "me.png", "png", len(PNG) + 1, "600"]],
    }
    assert place.left == []


@pytest.mark.feature("X-41")
@pytest.mark.parametrize(("size", "status"), [(0, 200), (MOST, 200), (MOST + 1, 413)])
async def test_the_limit_is_the_limit(place: Place, size: int, status: int) -> None:
    assert (await place.client.post("/", files=cover(data=bytes(size)))).status_code == status
    assert place.left == []


async def test_a_body_without_a_length_is_counted_while_it_comes(place: Place) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'

    async def pieces() -> AsyncIterator[bytes]:
        yield head
        for _ in range(4096):
            yield bytes(1024)

    sent = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = await place.client.post("/", content=pieces(), headers=sent)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # the server hung up while we were still talking: refused all the same
    assert place.left == []


@pytest.mark.parametrize("parts", [25, 10_000])
async def test_many_parts_are_too_many(place: Place, parts: int) -> None:
    one = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n1\r\n'
    answer = await place.client.post(
        "/",
        content=one * parts + b"--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code == 413
    assert place.left == []


async def test_many_or_long_fields_are_too_many(place: Place) -> None:
    many = {f"f{number}": "1" for number in range(MOST_FIELDS + 1)}
    assert (await place.client.post("/", data=many, files=cover())).status_code == 413
    long = {"title": "x" * 70_000}
    assert (await place.client.post("/", data=long, files=cover())).status_code == 413
    assert place.left == []


@pytest.mark.feature("X-41")
@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("a.png", PNG, 200),
        ("a.html", PNG, 200),  # by its bytes it is a picture, and it is never called a.html here
        ("a.png", b"<html><script>window.pwn=1</script>", 415),
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="window.pwn=1"/>', 415),
        ("a.png", b"GIF89a/*<script>*/", 415),
        ("a.png", b"%PDF-1.7", 415),
        ("a.png", b"", 415),
    ],
)
async def test_the_kind_is_read_from_the_bytes(
    place: Place, name: str, data: bytes, status: int
) -> None:
    answer = await place.client.post("/?kinds=png,jpeg,webp", files=cover(name, data))
    assert answer.status_code == status
    assert place.left == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"--x\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nhalf',
        b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\xfe\r\n--x--\r\n',
        b"--x\r\n" + b"A: b\r\n" * 100 + b"\r\n--x--\r\n",
    ],
)
async def test_a_broken_form_is_refused_and_leaves_nothing(place: Place, body: bytes) -> None:
    sent = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await place.client.post("/", content=body, headers=sent)
    assert answer.status_code in (400, 413)
    assert place.left == []


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data", ""])
async def test_another_kind_of_body_is_none(place: Place, kind: str) -> None:
    answer = await place.client.post("/", content=b"--x", headers={"Content-Type": kind})
    assert answer.status_code in (400, 415)


async def test_forty_megabytes_pass_through_little_memory(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    size = 40 * 1024 * 1024

    async def pieces() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
        for _ in range(size // 65536):
            yield bytes(65536)
        yield b"\r\n--x--\r\n"

    async with (
        serving(http_config(app_of(folder, size))) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        sent = {"Content-Type": "multipart/form-data; boundary=x"}
        tracemalloc.start()
        try:
            answer = await client.post("/", content=pieces(), headers=sent)
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert answer.json()["files"][0][3] == size
    assert peak < 8 * 1024 * 1024
    assert list(folder.iterdir()) == []


def test_a_name_is_shown_and_never_a_path() -> None:
    assert shown_name("../../etc/passwd") == "passwd"
    assert shown_name("C:\\Users\\x\\photo.png") == "photo.png"
    assert shown_name("a\r\nSet-Cookie: x") == "aSet-Cookie: x"
    assert shown_name("\u202egnp.exe") == "gnp.exe"
    assert len(shown_name("x" * 5000)) == 255
    assert kind_of(b"RIFF....AVI ") == ""


@pytest.mark.feature("X-41")
async def test_what_is_handed_out_as_a_file_never_runs() -> None:
    """Whoever serves it need not think of it; a page of ours keeps its own policy."""
    named = {"content_disposition": 'attachment; filename="x.html"', "content_type": "text/html"}
    async with (
        running(Headers(page(200, b"<script>1</script>", **named))) as file,
        running(Headers(page())) as other,
        httpx.AsyncClient() as client,
    ):
        handed = (await client.get(file)).headers
        shown = (await client.get(other)).headers
    assert handed["content-security-policy"] == "sandbox; default-src 'none'"
    assert handed["x-content-type-options"] == "nosniff"
    assert "sandbox" not in shown["content-security-policy"]
