"""Static files: checksums in their addresses, and vendored files unchanged."""

import hashlib
import re
import tomllib

import pytest

from app.core.paths import STATIC
from app.web.assets import asset, find
from tests.app.web.face import browser

pytestmark = pytest.mark.anyio


async def test_a_file_under_its_own_checksum_is_kept_for_ever() -> None:
    async with browser(None) as web:
        current = await web.get(asset("css/tokens.css"))
        stale = await web.get("/static/css/tokens.css?v=00000000")
        bare = await web.get("/static/css/tokens.css")
    assert current.status_code == 200
    assert current.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert current.headers["content-type"].startswith("text/css")
    assert current.content == (STATIC / "css/tokens.css").read_bytes()
    assert stale.headers["cache-control"] == bare.headers["cache-control"] == "no-cache"


async def test_asked_again_an_unchanged_file_is_not_sent_again() -> None:
    async with browser(None) as web:
        first = await web.get("/static/app.js")
        again = await web.get("/static/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize("path", ["../pyproject.toml", "..%2fpyproject.toml", "css", "nothing.css"])
async def test_only_files_below_static_are_served(path: str) -> None:
    async with browser(None) as web:
        answer = await web.get(f"/static/{path}")
    assert answer.status_code == 404


def test_a_missing_file_is_noticed_when_the_page_is_drawn() -> None:
    with pytest.raises(KeyError):
        asset("css/nothing.css")


def test_vendored_files_are_what_their_package_ships() -> None:
    listed = tomllib.loads((STATIC / "vendor.toml").read_text("utf-8"))["file"]
    assert {entry["name"] for entry in listed} == {f.name for f in STATIC.glob("vendor/*.js")}
    for entry in listed:
        assert hashlib.sha256(find(f"vendor/{entry['name']}").body).hexdigest() == entry["sha256"]


def test_every_icon_a_template_names_is_in_the_sheet() -> None:
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text("utf-8")))
    used = {
        name
        for file in (STATIC.parent / "templates").rglob("*.html")
        for name in re.findall(r"""\bicon\("([\w-]+)""", file.read_text("utf-8"))
    }
    assert used
    assert used <= drawn
