"""A ticket page made to hurt: small to send, and no larger or slower once it is kept."""

import io

import pytest
import segno

from app.tickets.client.hops import retry_after_s
from app.tickets.paper import codes
from app.tickets.paper.document import make_view
from app.tickets.paper.page import MOST_ELEMENTS, MOST_OPENED, Asset, Page
from app.tickets.paper.styles import MOST_EMBEDDED, MOST_SHEETS, references

PORTAL = "https://ticket.example/"
PICTURE = Asset("image/png", b"p" * 1_000_000)


def test_one_large_picture_named_a_thousand_times_does_not_become_a_gigabyte() -> None:
    page = Page(PORTAL, b"<img src=i.png><p style='background:url(i.png)'>" * 500)
    assert len(make_view(page, {f"{PORTAL}i.png": PICTURE})) < 1.5 * MOST_EMBEDDED


def test_what_is_shown_once_is_all_there() -> None:
    assets = {f"{PORTAL}{n}.png": PICTURE for n in range(5)}
    page = Page(PORTAL, b"".join(b"<img src=%d.png>" % n for n in range(5)))
    assert make_view(page, assets).count(b"data:image/png") == 5


def test_a_stylesheet_that_imports_itself_over_and_over_ends() -> None:
    sheet = Asset("text/css", b"@import 'a.css';" * 200 + b"i{color:red}")
    page = Page(PORTAL, b"<link rel=stylesheet href=a.css>" * 200)
    made = make_view(page, {f"{PORTAL}a.css": sheet})
    assert 0 < made.count(b"color:red") <= MOST_SHEETS


def test_an_address_of_nothing_but_spaces_is_read_at_once() -> None:
    # Hours of backtracking if the spaces were counted in more than one way.
    assert references("url(" + " " * 2_000_000) == []
    assert references("url(  'a.png'  ) url( b.png ) url()") == ["a.png", "b.png"]


def test_a_wait_in_odd_digits_is_no_wait() -> None:
    answer = Page(PORTAL, b"", status=429, headers={"Retry-After": "²"})
    assert retry_after_s(answer) == 900
    assert retry_after_s(Page(PORTAL, b"", headers={"Retry-After": "٣"})) == 900


def test_elements_within_elements_without_end_are_not_read() -> None:
    # The parser needs the square of the depth: an hour for 5 MB, holding all of the program.
    page = Page(PORTAL, b"<p>begin</p>" + b"<div>" * 500_000 + b"<p>end</p>")
    assert page.lines == ["begin"]
    assert len(page.tree.css("div")) <= MOST_ELEMENTS


def test_a_page_that_multiplies_its_own_letters_is_cut() -> None:
    # Each paragraph opens all the letters anew that the first one left open: 35 KB took 1.5 GB.
    letters = b"<p>" + b"".join(b"<b a=%d>" % n for n in range(3000)) + b"</p>"
    page = Page(PORTAL, letters + b"<p>x</p>" * 3000)
    assert len(page.tree.css("*")) < 2 * MOST_OPENED


def test_a_page_like_any_other_is_read_whole() -> None:
    page = Page(PORTAL, b"<p><a href=x><b>word</b></a></p>" * 500 + b"<p>end</p>")
    assert len(page.tree.css("a")) == 500
    assert page.lines[-1] == "end"


@pytest.mark.parametrize(("kind", "is_read"), [("png", True), ("ppm", False)])
def test_only_pictures_that_a_browser_shows_are_opened(kind: str, is_read: bool) -> None:
    # The library knows forty kinds; one of them (EPS) is a program it hands to an interpreter.
    assert codes.can_read()
    picture = io.BytesIO()
    segno.make("the ticket").save(picture, kind=kind, scale=8)
    assert (codes.read_code(picture.getvalue()) is not None) == is_read
