import pytest

from app.tickets.paper.canonical import Ignore, base_version, canonical, shape
from app.tickets.paper.page import Page

TICKET = """<!doctype html><html><head><title>Ticket</title><meta name=csrf content=a1>
<style>p{color:red}</style></head><body><h1>NVV-Semesterticket</h1><!-- build 17 -->
<p>Inhaber: <b>Test</b> <i>Person</i></p><p>Gültig 01.04.2026 bis 30.04.2026</p>
<input type=hidden name=csrf value=%s><p>Seite geladen um 12:00</p><p>%s</p>
<script>var t = "%s";</script></body></html>"""


def page(csrf: str = "1", line: str = "Gute Fahrt", script: str = "x") -> Page:
    return Page("https://t.example/", (TICKET % (csrf, line, script)).encode())


def text(*lines: str) -> Page:
    return Page("https://t.example/", "".join(f"<p>{line}</p>" for line in lines).encode())


def test_one_line_per_block_and_nothing_a_person_does_not_read() -> None:
    assert page().lines == [
        "Ticket",
        "NVV-Semesterticket",
        "Inhaber: Test Person",
        "Gültig 01.04.2026 bis 30.04.2026",
        "Seite geladen um 12:00",
        "Gute Fahrt",
    ]


def test_signs_that_look_like_markup_stay_words() -> None:
    odd = Page("https://t.example/", b"<p title='a>b'>1 &lt; 2 &amp;lt;b&gt;</p><p>e\xcc\x81</p>")
    assert odd.lines == ["1 < 2 &lt;b>", "é"]


@pytest.mark.feature("T-25")
def test_scripts_form_secrets_and_clocks_do_not_make_a_new_version() -> None:
    noisy = page(csrf="2", line="Stand: 20.11.2026 11:14", script="y")
    again = page(csrf="3", line="Stand: 21.11.2026 07:00", script="z")
    assert canonical(noisy).version == canonical(again).version


def test_a_new_month_is_a_new_version_also_beside_an_hour() -> None:
    versions = {
        canonical(text(f"Gültig bis 30.0{month}.2026, {hour}:59 Uhr")).version
        for month, hour in ((4, 22), (4, 23), (5, 23))
    }
    assert len(versions) == 2


@pytest.mark.parametrize(
    "line",
    [
        "12:03:59",
        "Seite abgerufen am 20.11.2026",
        "Sitzung 3f2a9c04b7d815e6a0",
        "Nr. 123e4567-e89b-12d3-a456-426614174000",
        "Last update yesterday",
    ],
)
def test_lines_that_change_by_themselves_are_left_out(line: str) -> None:
    assert canonical(text("Ticket", line)).lines == ("Ticket",)


def test_words_that_only_look_like_tokens_stay() -> None:
    lines = ("NVV-202611-000001", "Verkehrsverbundgesellschaft", "Semesterticket 4711")
    assert canonical(text(*lines)).lines == lines


@pytest.mark.feature("T-25")
def test_what_differs_between_two_reads_is_dropped_and_learned() -> None:
    first = canonical(text("Ticket", "Besucher: 17"), second=text("Ticket", "Besucher: 18"))
    assert first.lines == ("Ticket",)
    assert first.volatile == {"Besucher: #"}
    later = canonical(text("Ticket", "Besucher: 99"), volatile=first.volatile)
    assert later.version == first.version


def test_a_line_with_a_date_is_never_learned_by_its_shape() -> None:
    assert shape("Gültig bis 30.04.2026") == "Gültig bis 30.04.2026"
    night = canonical(text("A", "Gültig bis 30.04.2026"), second=text("A", "Gültig bis 31.05.2026"))
    later = canonical(text("A", "Gültig bis 30.06.2026"), volatile=night.volatile)
    assert later.lines == ("A", "Gültig bis 30.06.2026")


def test_a_line_that_comes_twice_in_one_read_is_kept_once() -> None:
    assert canonical(text("A", "A", "B"), second=text("A", "B")).lines == ("A", "B")


def test_admin_patterns_are_words_or_expressions() -> None:
    lines = text("Mensa heute", "mensa morgen", "Ticket 7", "Ticket")
    assert canonical(lines, ignore=["MENSA", "", r"/^ticket \d$/i"]).lines == ("Ticket",)


@pytest.mark.parametrize("bad", ["/(/", "/a/q", "x" * 201, *[[str(i) for i in range(21)]]])
def test_a_pattern_that_cannot_work_is_refused(bad: str | list[str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Ignore([bad] if isinstance(bad, str) else bad)


def test_a_runaway_pattern_is_stopped_named_and_without_effect() -> None:
    found = canonical(text("a" * 60 + "b", "Mensa"), ignore=["/^(a|a)*$/", "mensa"])
    assert found.slow_patterns == ("/^(a|a)*$/",)
    assert found.lines == ("a" * 60 + "b",)


def test_the_base_version_knows_no_person_but_the_month() -> None:
    def lines(name: str, month: str, number: str) -> list[str]:
        return [f"Inhaber: {name}", f"{name.lower()}@uni.example", f"Nr {number}", f"bis {month}"]

    one = base_version(lines("Ada", "April 2026", "N1"), ["Ada", "N1"])
    other = base_version(lines("Bob", "April 2026", "N22"), ["Bob", "N22"])
    later = base_version(lines("Bob", "Mai 2026", "N22"), ["Bob", "N22"])
    assert one == other != later
