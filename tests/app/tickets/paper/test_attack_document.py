"""A ticket page made to hurt: small to send, and no larger or slower once it is kept."""

from app.tickets.client.hops import retry_after_s
from app.tickets.paper.document import make_view
from app.tickets.paper.page import Asset, Page
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
