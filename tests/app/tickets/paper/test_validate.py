import io
from datetime import date

import pytest
import segno

from app.tickets.outcomes import Outcome
from app.tickets.paper import codes
from app.tickets.paper.codes import find_code, picture_size, read_code
from app.tickets.paper.labels import Labels
from app.tickets.paper.page import Asset, Page
from app.tickets.paper.validate import (
    Rules,
    Status,
    Validation,
    fold,
    holds_name,
    validate,
    with_owner,
)

PORTAL = "https://ticket.example/"
TODAY = date(2026, 4, 15)
FILLER = "<p>" + "Gilt im ganzen Verbund, nicht übertragbar. " * 60 + "</p>"


def qr(text: str = "ticket 1", scale: int = 8) -> bytes:
    target = io.BytesIO()
    segno.make_qr(text).save(target, kind="png", scale=scale)
    return target.getvalue()


def ticket(
    dates: str = "Gültig 01.04.2026 bis 30.04.2026",
    picture: str = "<img src=/code.png>",
    **more: str,
) -> str:
    return (
        f"<h1>{more.get('marker', 'NVV-Semesterticket')}</h1>"
        f"<p>Inhaber: {more.get('holder', 'Ada Lovelace')}</p><p>{dates}</p>"
        f"<p>Ticketnummer: N-17</p>{picture}{FILLER}{more.get('extra', '')}"
    )


def rules(**more: object) -> Rules:
    given = {"portal_url": PORTAL, "markers": ("NVV-Semesterticket",), "today": TODAY, **more}
    return Rules(**given)  # type: ignore[arg-type]


def judge(body: str, url: str = PORTAL, *, status: int = 200, **more: object) -> Validation:
    page = Page(url, body.encode(), status=status, headers={"content-type": "text/html"})
    return validate(page, rules(**more), {f"{PORTAL}code.png": Asset("image/png", qr())})


def failed(found: Validation) -> dict[str, str]:
    return {check.rule: check.detail for check in found.checks if not check.ok}


@pytest.mark.feature("T-21")
def test_a_good_ticket_passes_every_check_and_is_read() -> None:
    found = judge(ticket(), holder_name="Ada Lovelace", current_valid_to=date(2026, 3, 31))
    found = with_owner(found, seen_with_other=False)
    assert [check.rule for check in found.checks] == [f"V{number}" for number in range(1, 10)]
    assert failed(found) == {}
    assert (found.status, found.outcome) == (Status.VALID, Outcome.OK)
    assert (found.valid_from, found.valid_to) == (date(2026, 4, 1), date(2026, 4, 30))
    assert (found.product, found.ticket_number) == ("NVV-Semesterticket", "N-17")
    assert found.code is not None
    assert found.code.format.startswith("QR")


@pytest.mark.feature("T-21")
@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("<h1>NVV-Semesterticket</h1>", "V1"),
        (f"<h1>NVV-Semesterticket</h1><script>{'x' * 3000}</script>", "V1"),
        (ticket(extra="<p>" + "x" * 200_001 + "</p>"), "V1"),
        (ticket(marker="Semesterticket"), "V3"),
        (ticket(marker="<script>'NVV-Semesterticket'</script>"), "V3"),
        (ticket(extra="<input type=password name=p>"), "V4"),
        (ticket(extra="<input type=hidden name=SAMLResponse>"), "V4"),
        (ticket(extra="<input type=hidden name=_shib_idp_consentIds>"), "V4"),
        (ticket(extra="<div class=g-recaptcha></div>"), "V4"),
        (ticket(extra="<h2>Wartung</h2>"), "V4"),
    ],
)
def test_what_is_no_ticket_is_refused(body: str, rule: str) -> None:
    found = judge(body)
    assert rule in failed(found)
    assert (found.status, found.outcome) == (Status.REJECTED, Outcome.NOT_A_TICKET)


def test_a_page_from_elsewhere_or_without_success_is_refused() -> None:
    assert "V2" in failed(judge(ticket(), "https://idp.example/"))
    assert "V2" in failed(judge(ticket(), "https://ticket.example:8443/"))
    assert "V2" in failed(judge(ticket(), status=404))


@pytest.mark.feature("T-22")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Gültig von 1.4.2026 bis 30.4.2026", ("2026-04-01", "2026-04-30")),
        ("Gültig ab 01.04.2026, 00:00 Uhr bis 30.04.2026, 23:59 Uhr", ("2026-04-01", "2026-04-30")),
        (
            "<b>Gültig ab</b><br>01.04.2026<br>Gültig bis<br>30.04.2026",
            ("2026-04-01", "2026-04-30"),
        ),
        ("Gültigkeit: 1. April 2026 – 30. April 2026", ("2026-04-01", "2026-04-30")),
        ("Valid from 1 April 2026 to 30 April 2026", ("2026-04-01", "2026-04-30")),
        ("Valid April 1, 2026 until April 30, 2026", ("2026-04-01", "2026-04-30")),
        ("Valid 2026-04-01 until 2026-04-30", ("2026-04-01", "2026-04-30")),
        ("Действителен с 1 апреля 2026 по 30 апреля 2026", ("2026-04-01", "2026-04-30")),
        ("Válido desde 1 de abril de 2026 hasta 30 de abril de 2026", ("2026-04-01", "2026-04-30")),
        ("Gültig: April 2026", ("2026-04-01", "2026-04-30")),
        ("Ausgestellt 28.03.2026. April 2026", ("2026-04-01", "2026-04-30")),
        ("geboren 03.05.1999. Gültig 01.04.2026 - 30.04.2026", ("2026-04-01", "2026-04-30")),
        ("1.1.2020 bis 2.1.2020, Gültig 01.04.2026 - 30.04.2026", ("2026-04-01", "2026-04-30")),
        ("Gültig März 2026 bis August 2026", ("2026-03-01", "2026-08-31")),
    ],
)
def test_days_of_validity_are_read_in_four_languages(text: str, expected: tuple[str, str]) -> None:
    found = judge(ticket(text))
    assert (str(found.valid_from), str(found.valid_to)) == expected


@pytest.mark.feature("T-22")
@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("ohne Datum", "missing"),
        ("Gültig 31.02.2026 bis 30.04.2026", "missing"),
        ("Gültig bis 30.04.2026", "missing"),
        ("Gültig 01.04.2026 bis 30.06.2027", "impossible"),
        ("Gültig 30.04.2026 bis 01.04.2026", "impossible"),
        ("Gültig 01.03.2026 bis 31.03.2026", "last_month"),
    ],
)
def test_a_doubtful_date_makes_it_partial_never_refused(text: str, detail: str) -> None:
    found = judge(ticket(text))
    assert failed(found) == {"V5": detail}
    assert (found.status, found.outcome) == (Status.PARTIAL, Outcome.OK)


@pytest.mark.feature("T-22")
def test_last_months_ticket_is_kept_with_a_warning() -> None:
    assert judge(ticket("Gültig 01.03.2026 bis 31.03.2026")).warnings == ("last_month",)
    assert judge(ticket("Gültig 01.03.2026 bis 14.04.2026")).warnings == ()


def test_an_older_ticket_than_the_present_one_is_a_warning_only() -> None:
    found = judge(ticket(), current_valid_to=date(2026, 5, 31))
    assert (found.status, found.warnings) == (Status.VALID, ("older",))


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("Jürgen Groß", "JUERGEN GROSS", True),
        ("Juergen Gross", "Jürgen Groß", True),
        ("Jurgen Gross", "Jürgen Groß", True),
        ("José Peña", "Jose Pena", True),
        ("Li Wang", "wang li", True),
        ("Lina Wang", "Li Wang", False),
        ("Ada Lovelace", "Ada Byron", False),
        ("anything", " - ", False),
    ],
)
def test_names_are_compared_without_accents_and_by_whole_words(
    printed: str, expected: str, same: bool
) -> None:
    assert holds_name(printed, expected) is same


def test_fold_joins_the_spellings_of_one_name() -> None:
    assert fold("STRASSE É") == fold("straße é") == "strasse e"


def test_another_name_is_a_foreign_ticket() -> None:
    found = judge(ticket(), holder_name="Grace Hopper")
    assert failed(found) == {"V6": "other_name"}
    assert (found.status, found.outcome) == (Status.REJECTED, Outcome.FOREIGN_TICKET)


def test_without_a_known_name_the_printed_one_is_taken_or_missed() -> None:
    assert judge(ticket()).holder_name == "Ada Lovelace"
    nobody = judge(ticket().replace("Inhaber", "Wer"))
    assert failed(nobody) == {"V6": "missing"}
    assert nobody.status is Status.PARTIAL


def test_a_code_seen_with_another_user_is_a_foreign_ticket() -> None:
    found = with_owner(judge(ticket()), seen_with_other=True)
    assert failed(found) == {"V8": "other_user"}
    assert found.outcome is Outcome.FOREIGN_TICKET


def test_no_code_is_partial_and_with_scripts_a_page_that_needs_them() -> None:
    plain = judge(ticket(picture=""))
    assert (plain.status, plain.outcome, failed(plain)) == (
        Status.PARTIAL,
        Outcome.OK,
        {"V7": "missing"},
    )
    scripted = judge(
        ticket(picture="<canvas width=300 height=300></canvas><script>draw()</script>")
    )
    assert scripted.outcome is Outcome.NEEDS_JAVASCRIPT
    drawn = judge(ticket(picture="<canvas></canvas><script>draw()</script>"), drawn=True)
    assert (drawn.status, drawn.outcome) == (Status.VALID, Outcome.OK)


def test_a_logo_or_a_small_picture_is_no_code() -> None:
    assets = {f"{PORTAL}x.png": Asset("image/png", b"no picture" * 100)}
    for markup in (
        "<img src=/x.png width=400 height=100>",
        "<img src=/x.png width=32 height=32>",
        "<img src=/missing.png width=300 height=300>",
        "<svg width=300 height=300></svg>",
        f"<img src='data:image/png;base64,{'A' * 40}'>",
    ):
        assert find_code(Page(PORTAL, markup.encode()), assets) is None


def test_a_square_picture_counts_also_when_it_cannot_be_read() -> None:
    for markup in (
        "<img src=/x.png width=300 height=300>",
        "<img src=/x.png style='width: 200px; height: 200px'>",
        f"<img src='data:image/png;base64,{'A' * 800}'>",
        "<svg viewBox='0 0 300 300'><path d='M0 0h9v9z'/></svg>",
    ):
        assets = {f"{PORTAL}x.png": Asset("image/png", b"no picture" * 100)}
        found = find_code(Page(PORTAL, markup.encode()), assets)
        assert found is not None
        assert (found.format, found.hash) == ("", "")


def test_the_code_that_can_be_read_wins_over_pictures_that_cannot() -> None:
    assets = {
        f"{PORTAL}a.png": Asset("image/png", b"x" * 900),
        f"{PORTAL}b.png": Asset("image/png", qr("mine")),
    }
    body = b"<img src=a.png width=300 height=300><img src=b.png>"
    found = find_code(Page(PORTAL, body), assets)
    assert found is not None
    assert found.hash == (read_code(qr("mine", scale=12)) or codes.Code()).hash != ""


def test_broken_and_huge_pictures_are_passed_over() -> None:
    huge = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x00\x00\x00\x00"
    )
    assert read_code(huge) is None
    assert read_code(qr()[:60]) is None
    assert picture_size(qr()[:24]) is not None
    assert picture_size(b"GIF89a\x02\x00\x03\x00") == (2, 3)
    assert picture_size(b"") is None


def test_a_label_gives_what_follows_it() -> None:
    lines = ["Name: Ada", "Region:", "Nordhessen", "Nummer", "17", "Inhaber", "x" * 90]
    assert Labels(lines).value({"name"}) == "Ada"
    assert Labels(lines).value({"region"}) == "Nordhessen"
    assert Labels(lines).value({"nummer"}) == "17"
    assert Labels(lines).value({"inhaber"}) == ""


def test_the_birth_date_is_told_apart_for_the_base_only() -> None:
    found = judge(ticket(extra="<p>Geburtsdatum: 03.05.1999</p><p>ada@uni.example</p>"))
    assert found.personal == ("Ada Lovelace", "N-17", "03.05.1999", "ada@uni.example")
