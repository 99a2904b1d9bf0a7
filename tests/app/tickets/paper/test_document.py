import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.errors import NotFound
from app.tickets.outcomes import Fault, Outcome
from app.tickets.paper.document import asset_urls, content_hash, css_urls, make_view, remove, store
from app.tickets.paper.page import Asset, Page
from db import failpoints

PORTAL = "https://ticket.example/"
HOSTILE = """<!doctype html><html lang=de><head><title>My <b></title><base href=https://evil.example/>
<meta http-equiv=refresh content="0;url=https://evil.example/"><script>steal()</script>
<link rel=stylesheet href=https://evil.example/a.css><link rel=prefetch href=//evil.example/p>
<style>@import "https://evil.example/i.css"; p{background:u\\72l(https://evil.example/e.png)}
b{background:image-set("https://evil.example/s.png" 1x)} i{x:'</sty' 'le>'}</style></head>
<body onload=x() background=https://evil.example/b.png><h1 id=top>Ticket</h1>
<img src=https://evil.example/i.png onerror=x() srcset="https://evil.example/2.png 2x" alt=pic>
<iframe src=//evil.example srcdoc="<script>1</script>"></iframe>
<object data=//evil.example></object>
<embed src=//evil.example><video poster=//evil.example/v.png src=//evil.example/v></video>
<a href=https://evil.example/ target=_top ping=//evil.example>out</a><a href=#top>up</a>
<a href=javascript:x()>js</a><form action=https://evil.example/ method=post>
<button formaction=//evil.example autofocus onfocus=x()>go</button></form>
<svg onload=x()><a xlink:href=javascript:x()><text>t</text></a><use href=//evil.example/#x />
<set attributeName=href to=javascript:x() /><image href=//evil.example/i />
<script>x()</script></svg>
<div style="background:url(//evil.example/d.png);color:red">styled</div>
<template><img src=x onerror=x()></template><noscript><img src=//evil.example/n.png></noscript>
</body></html>"""


def view(markup: str, assets: dict[str, Asset] | None = None) -> str:
    return make_view(Page(PORTAL, markup.encode()), assets or {}).decode()


def test_nothing_in_the_view_runs_loads_or_leads_away() -> None:
    made = view(HOSTILE)
    assert "evil.example" not in made
    assert not re.search(
        r"<(script|iframe|object|embed|base|video|template|noscript|use|set)", made
    )
    assert not re.search(
        r"\son\w+\s*=|javascript:|srcdoc|formaction|http-equiv=.?refresh", made, re.I
    )
    assert 'href="#top"' in made
    assert "color:red" in made
    assert "<title>My &lt;b&gt;</title>" in made
    assert "default-src 'none'" in made


def test_making_a_view_of_a_view_changes_nothing_that_is_shown() -> None:
    once = view(HOSTILE)
    again = make_view(Page(PORTAL, once.encode()), {}).decode()
    assert Page(PORTAL, again.encode()).lines == Page(PORTAL, once.encode()).lines
    assert "evil.example" not in again


def test_styles_pictures_and_fonts_at_hand_become_part_of_the_file() -> None:
    markup = """<link rel="stylesheet" href="/css/a.css?v=7">
    <h1 style="background:url('/p.png')">T</h1>
    <img src="/code.png"><img src="/page.png">"""
    assets = {
        f"{PORTAL}css/a.css?v=7": Asset(
            "text/css", b"@import 'b.css' print; @font-face{src:url(f.woff2)} /* url(x) */"
        ),
        f"{PORTAL}css/b.css": Asset("text/css", b"i{background:url(../p.png)} </style><script>"),
        f"{PORTAL}css/f.woff2": Asset("font/woff2", b"font"),
        f"{PORTAL}p.png": Asset("image/png", b"pic"),
        f"{PORTAL}code.png": Asset("image/png", b"code"),
        f"{PORTAL}page.png": Asset("text/html", b"<script>"),
    }
    made = view(markup, assets)
    assert "data:font/woff2;base64,Zm9udA==" in made
    assert made.count("data:image/png;base64,cGlj") == 2
    assert "data:image/png;base64,Y29kZQ==" in made
    assert "@media print {i{" in made
    assert "<script" not in made
    assert "text/html" not in made
    assert made.count("</style>") == 1


def test_what_a_page_asks_for_is_listed_once_styles_first() -> None:
    markup = b"""<base href="/x/"><img src=a.png><img src=a.png#1>
    <img src="data:image/png;base64,AA">
    <link rel="Alternate StyleSheet" href=s.css><link rel=icon href=i.ico>
    <style>p{background:url("b.png")}</style><p style="background:url(c.png)">"""
    assert asset_urls(Page(PORTAL, markup)) == [
        f"{PORTAL}x/{name}" for name in ("s.css", "a.png", "b.png", "c.png")
    ]
    sheet = Asset("text/css", b"@import url(n.css); p{background:url(d.png)}")
    assert css_urls(f"{PORTAL}css/s.css", sheet) == [f"{PORTAL}css/n.css", f"{PORTAL}css/d.png"]
    assert css_urls(PORTAL, Asset("image/png", b"url(x)")) == []


def test_a_document_is_stored_whole_private_and_by_its_content(tmp_path: Path) -> None:
    path = store(tmp_path, "user-1", b"raw", b"view", b"png")
    assert path == f"tickets/user-1/{content_hash(b'raw')[:16]}/raw.html"
    folder = (tmp_path / path).parent
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "raw.html": b"raw",
        "view.html": b"view",
        "barcode.png": b"png",
    }
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / path).stat().st_mode & 0o777 == 0o600
    assert store(tmp_path, "user-1", b"raw", b"view") == path
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_a_user_id_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    for bad in ("../x", "a/b", "..", ""):
        with pytest.raises(NotFound):
            store(tmp_path, bad, b"raw", b"view")
    assert list(tmp_path.rglob("*.html")) == []


def test_a_full_disk_leaves_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    failpoints.arm("ticket_temp_written:enospc")
    with pytest.raises(Fault) as caught:
        store(tmp_path, "user-1", b"raw", b"view")
    failpoints.arm("")
    assert (caught.value.outcome, caught.value.retry) == (Outcome.STORAGE_ERROR, True)
    assert list((tmp_path / "tickets" / "user-1").iterdir()) == []
    assert store(tmp_path, "user-1", b"raw", b"view")


@pytest.mark.parametrize(("point", "whole"), [("ticket_temp_written", 0), ("ticket_renamed", 1)])
def test_a_kill_at_any_point_leaves_no_half_document(
    tmp_path: Path, point: str, whole: int
) -> None:
    code = f"""
from pathlib import Path
from app.tickets.paper.document import store
store(Path({str(tmp_path)!r}), "user-1", b"raw", b"view")
"""
    env = {**os.environ, "HOLDFAST_FAILPOINT": f"{point}:kill"}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == -9
    home = tmp_path / "tickets" / "user-1"
    named = [entry for entry in home.iterdir() if not entry.name.startswith(".")]
    assert len(named) == whole
    assert all((folder / "view.html").read_bytes() == b"view" for folder in named)


def test_removing_takes_the_whole_folder_and_twice_is_fine(tmp_path: Path) -> None:
    path = store(tmp_path, "user-1", b"raw", b"view")
    remove(tmp_path, path)
    remove(tmp_path, path)
    assert list((tmp_path / "tickets" / "user-1").iterdir()) == []


def test_without_the_codes_extra_a_picture_counts_unread() -> None:
    code = """
import sys
sys.modules["zxingcpp"] = None
from app.tickets.paper import codes
from app.tickets.paper.page import Page
page = Page("https://t.example/", b"<img src='data:image/png;base64," + b"A" * 800 + b"'>")
found = codes.find_code(page, {})
assert not codes.can_read()
assert found is not None and found.hash == "" and found.format == ""
assert codes.read_code(b"x") is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)
