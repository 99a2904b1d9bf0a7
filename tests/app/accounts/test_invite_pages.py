"""Links are handed out once: one with its picture, two hundred as a list or as a file."""

import csv
import io
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import zxingcpp
from PIL import Image, ImageDraw

from db.engine import DB
from tests.app.house import House

pytestmark = pytest.mark.anyio

SECRET = re.compile(r"/join/([A-Za-z0-9_-]{43})")
DOT = 6  # pixels of a QR code's square
MANY = [f"student{n}@uni.example,Student {n}" for n in range(1, 201)]


@pytest.fixture
async def admin(house_of: House) -> AsyncIterator[httpx.AsyncClient]:
    async with await house_of.browser(await house_of.person("boss", role="admin")) as browser:
        yield browser


async def count() -> int:
    return int(await DB.value("SELECT count(*) FROM invite_tokens"))


def scanned(page: str) -> str:
    """What a phone reads from the QR code on a page."""
    found = re.search(r'class="qr" viewBox="0 0 (\d+) \d+".*?<path d="([^"]+)"/></svg>', page, re.S)
    assert found
    side = int(found[1]) * DOT
    picture = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(picture)
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", found[2]):
        left, top = int(x) * DOT, int(y) * DOT
        pen.rectangle((left, top, left + int(width) * DOT - 1, top + DOT - 1), fill=0)
    return str(zxingcpp.read_barcodes(picture)[0].text)


async def opens(house_of: House, secret: str) -> bool:
    async with house_of.client() as stranger:
        answer = await stranger.get(f"/join/{secret}")
    return str(answer.headers.get("location")) == "/join"


@pytest.mark.feature("T-04")
async def test_a_link_its_picture_and_its_copy_button_are_shown_once(
    house_of: House, admin: httpx.AsyncClient
) -> None:
    made = await admin.post("/admin/invites", data={"label": "Tom", "domains": "tickets"})
    secrets = set(SECRET.findall(made.text))
    assert len(secrets) == 1
    secret = secrets.pop()
    assert 'data-copy="invite-link"' in made.text
    link = re.search(r'id="invite-link">([^<]+)<', made.text)
    assert link
    assert scanned(made.text) == link[1]
    assert link[1].endswith(f"/join/{secret}")
    assert await opens(house_of, secret)
    for path in ("/admin/invites", "/admin/invites?q=Tom"):
        again = (await admin.get(path)).text
        assert "Tom" in again
        assert secret not in again
        assert 'class="qr"' not in again
    assert secret not in str(await DB.all("SELECT * FROM invite_tokens"))


@pytest.mark.feature("T-04")
async def test_two_hundred_people_are_invited_at_once_or_nobody(
    house_of: House, admin: httpx.AsyncClient
) -> None:
    form = {"hours": "48", "domains": "tickets", "to": "page"}
    bad = [*MANY[:136], "no address", *MANY[137:]]
    refused = await admin.post("/admin/invites/many", data={**form, "lines": "\n".join(bad)})
    assert refused.status_code == 422
    assert "Line 137" in refused.text
    over = [*MANY, "one.more@uni.example"]
    assert (
        await admin.post("/admin/invites/many", data={**form, "lines": "\n".join(over)})
    ).status_code == 422
    assert await count() == 0
    made = await admin.post("/admin/invites/many", data={**form, "lines": "\r\n".join(MANY)})
    secrets = SECRET.findall(made.text)
    assert len(set(secrets)) == 200 == await count()
    assert 'data-copy="made-links"' in made.text
    for place in (0, 99, 199):
        assert re.search(rf"student{place + 1}@uni\.example \S+/join/{secrets[place]}", made.text)
        assert await opens(house_of, secrets[place])
    for path in ("/admin/invites/many", "/admin/invites"):
        assert not SECRET.search((await admin.get(path)).text)


@pytest.mark.feature("T-04")
async def test_the_file_of_links_is_given_out_once(
    house_of: House, admin: httpx.AsyncClient
) -> None:
    lines = [*MANY[:199], "eve@uni.example,=HYPERLINK(1)"]
    given = {"lines": "\n".join(lines), "domains": "tickets", "to": "csv"}
    file = await admin.post("/admin/invites/many", data=given)
    assert file.headers["content-type"].startswith("text/csv")
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.headers["cache-control"] == "no-store"
    head, *rows = csv.reader(io.StringIO(file.text))
    assert head == ["email", "label", "link", "expires_at"]
    assert [row[0] for row in rows] == [line.partition(",")[0] for line in lines]
    assert rows[-1][1].startswith("'=")  # a table program must not reckon with it
    secret = SECRET.search(rows[150][2])
    assert secret
    assert await opens(house_of, secret[1])
    assert not SECRET.search((await admin.get("/admin/invites/many")).text)
    assert not SECRET.search((await admin.get("/admin/invites")).text)
