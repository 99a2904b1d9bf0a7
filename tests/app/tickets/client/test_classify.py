"""Hand-written pages after the stock Shibboleth views and the portals' own."""

import pytest

from app.tickets.client.classify import Kind, classify, refused_as, skeleton
from app.tickets.client.driver import Policy
from app.tickets.outcomes import Outcome
from app.tickets.paper.page import Page

IDP = "https://idp.example/idp/profile/SAML2/Redirect/SSO?execution=e1s2"
PORTAL = "https://ticket.example/"
POLICY = Policy(
    portal_url=PORTAL,
    idp_hosts=("idp.example",),
    markers=("NVV-Semesterticket", "Deutschlandticket"),
)
HTML = {"content-type": "text/html; charset=utf-8"}
PROCEED = "<button name=_eventId_proceed type=submit>Login</button>"
LOGIN = f"""<form action="?execution=e1s2" method=post><input type=hidden name=csrf_token value=t>
<input id=username name=j_username type=text><input id=password name=j_password type=password>
<input type=checkbox name=donotcache value=1>{PROCEED}</form>"""
RELEASE = """<form method=post><input type=hidden name=_shib_idp_consentIds value=mail>
<input type=radio name=_shib_idp_consentOptions value=_shib_idp_doNotRememberConsent>
<input type=submit name=_eventId_AttributeReleaseRejected value=Ablehnen>
<input type=submit name=_eventId_proceed value=Akzeptieren></form>"""
TERMS = """<form method=post><input type=submit name=_eventId_TermsRejected value=Refuse></form>
<form method=post><input type=checkbox name=_shib_idp_consentIds value=tou required>
<input type=submit name=_eventId_proceed value=Submit></form>"""
FILLER = "<p>" + "Dieses Ticket gilt im ganzen Verbund und ist nicht übertragbar. " * 40 + "</p>"
TICKET = f"<h1>NVV-Semesterticket</h1><p>Gültig 01.04.2026 bis 30.04.2026</p>{FILLER}"
CONSENT = "<form method=post><input type=submit value=Akzeptieren></form>"


def page(
    body: str, url: str = IDP, *, status: int = 200, headers: dict[str, str] | None = None
) -> Page:
    return Page(url, body.encode(), status=status, headers={**HTML, **(headers or {})})


def kind(body: str, url: str = IDP) -> Kind:
    return classify(page(body, url), POLICY).kind


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<form><input type=hidden name=SAMLResponse value=x></form>", Kind.SAML_POST),
        ("<form><input type=hidden name=SAMLRequest value=x></form>", Kind.SAML_POST),
        ("<form><input type=hidden name=shib_idp_ls_value.a></form>" + LOGIN, Kind.STORAGE),
        ("<form id=fudiscr-form><input name=fudis_otp_input></form>", Kind.MFA),
        ("<form><input name=code autocomplete=one-time-code></form>", Kind.MFA),
        ("<form><input id=totp-field name=x></form>", Kind.MFA),
        (LOGIN, Kind.LOGIN),
        (LOGIN.replace("csrf_token", "otp_token"), Kind.LOGIN),  # hidden fields ask for nothing
        (RELEASE, Kind.ATTRIBUTE_RELEASE),
        (TERMS, Kind.TERMS),
        ("<a href='?execution=e1s3&amp;_eventId_proceed=1'>go</a>", Kind.INTERSTITIAL),
        ("<meta http-equiv=Refresh content='20; URL=?execution=e1s9'>", Kind.INTERSTITIAL),
        ("<meta http-equiv=refresh content='31;url=/x'>", Kind.UNKNOWN),
        ("<meta http-equiv=refresh content='0;url=https://evil.example/'>", Kind.UNKNOWN),
        ("<div class=g-recaptcha></div>", Kind.CAPTCHA),
        ("<img src=/captcha.png><input name=answer>", Kind.CAPTCHA),
        ("<div id=challenge-container></div><noscript>Enable it</noscript>", Kind.CHALLENGE),
        ("<h1>Wartungsarbeiten</h1><p>Bis morgen.</p>", Kind.MAINTENANCE),
        ("<body onload='f()'><form method=post><input type=hidden name=a></form>", Kind.AUTO_POST),
        ("<title>Web Login Service - Stale Request</title>", Kind.IDP_ERROR),
        ("<p>Ihr Passwort ist abgelaufen.</p>", Kind.EXPIRED),
        ("<p>Something else</p>", Kind.UNKNOWN),
    ],
)
def test_pages_of_the_sign_in_service(body: str, expected: Kind) -> None:
    assert kind(body) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (TICKET, Kind.TICKET),
        (TICKET + CONSENT, Kind.TICKET),
        (f"<h1>Deutschlandticket</h1>{FILLER}{CONSENT}", Kind.PORTAL_CONSENT),
        (f"<h1>Datenschutz</h1>{CONSENT}", Kind.PORTAL_CONSENT),
        (CONSENT.replace("Akzeptieren", "Принять"), Kind.PORTAL_CONSENT),
        (CONSENT.replace("Akzeptieren", "Ablehnen"), Kind.UNKNOWN),
        (CONSENT.replace("<input", "<input name=q><input"), Kind.UNKNOWN),
        ("<h1>NVV-Semesterticket</h1><p>kurz</p>", Kind.NOT_TICKET),
        (f"<script>'NVV-Semesterticket'</script>{FILLER}", Kind.NOT_TICKET),
        (f"<h1>Wartung: Deutschlandticket</h1>{FILLER}", Kind.MAINTENANCE),
        (f"{TICKET}<div class=g-recaptcha></div>", Kind.CAPTCHA),
        (f"<meta http-equiv=refresh content='30;url={PORTAL}'>{TICKET}", Kind.TICKET),
    ],
)
def test_pages_of_the_portal(body: str, expected: Kind) -> None:
    assert kind(body, PORTAL) is expected


def test_a_ticket_elsewhere_than_at_the_portal_is_none() -> None:
    assert kind(TICKET) is not Kind.TICKET


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (429, {}, Outcome.RATE_LIMITED),
        (503, {"Retry-After": "5"}, Outcome.RATE_LIMITED),
        (503, {}, Outcome.MAINTENANCE),
        (502, {}, Outcome.PORTAL_5XX),
        (200, {"content-type": "application/json"}, Outcome.NOT_HTML),
        (202, {"X-Amzn-Waf-Action": "challenge"}, Outcome.JS_CHALLENGE),
        (403, {"cf-mitigated": "challenge"}, Outcome.JS_CHALLENGE),
    ],
)
def test_what_the_wire_already_says(status: int, headers: dict[str, str], outcome: Outcome) -> None:
    merged = {**HTML, **{name.lower(): value for name, value in headers.items()}}
    found = classify(Page(PORTAL, TICKET.encode(), status=status, headers=merged), POLICY)
    assert found.outcome is outcome


@pytest.mark.parametrize(
    "broken",
    [
        LOGIN.replace(PROCEED, "<div class=btn>Login</div>"),
        LOGIN.replace("type=text", "type=hidden"),
        LOGIN.replace("</form>", "<input type=password name=again></form>"),
        LOGIN.replace("type=password", "type=text"),
        LOGIN.replace("name=j_password", ""),
    ],
)
def test_a_login_form_we_do_not_know_gets_no_password(broken: str) -> None:
    assert kind(broken) is not Kind.LOGIN


def test_the_login_field_is_found_by_name_id_or_because_it_is_the_only_one() -> None:
    for field in ("name=username", "name=x id=username", "name=kennung", "name=mail type=email"):
        body = LOGIN.replace("id=username name=j_username type=text", field)
        found = classify(page(body), POLICY)
        assert found.kind is Kind.LOGIN
        assert found.user == field.split()[0].removeprefix("name=")


def test_a_robot_check_in_the_login_form_comes_before_the_password() -> None:
    for extra in ("<input name=captcha>", "<div class=h-captcha></div>"):
        body = LOGIN.replace("<input type=checkbox", f"{extra}<input type=checkbox")
        assert kind(body) is Kind.CAPTCHA


def test_the_error_of_a_login_page_is_read_by_its_element() -> None:
    found = classify(page("<p class=form-error> Falsches  Passwort </p>" + LOGIN), POLICY)
    assert found.words == ("Falsches Passwort",)
    assert classify(page("<p class=form-error></p>" + LOGIN), POLICY).words == ()


@pytest.mark.feature("T-17")
@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("The password you entered was incorrect.", Outcome.WRONG_PASSWORD),
        ("Ihr Konto wurde gesperrt.", Outcome.ACCOUNT_LOCKED),
        ("Your account is locked.", Outcome.ACCOUNT_LOCKED),
        ("Учётная запись заблокирована", Outcome.ACCOUNT_LOCKED),
        ("Your password has expired.", Outcome.PASSWORD_EXPIRED),
        ("Ihr Passwort ist abgelaufen", Outcome.PASSWORD_EXPIRED),
    ],
)
def test_a_refusal_is_read_from_its_words(text: str, outcome: Outcome) -> None:
    assert refused_as([text]) is outcome


def test_released_attributes_are_named_by_label_row_or_id() -> None:
    rows = """<tr><td>E-Mail</td>
    <td><input type=checkbox name=_shib_idp_consentIds value=a></td></tr>
    <label for=b>Geburtstag</label><input type=checkbox id=b name=_shib_idp_consentIds value=b>
    <input type=hidden name=_shib_idp_consentIds value=eduPersonAffiliation>"""
    body = f"<div id=attributeRelease></div><form><table>{rows}</table>{PROCEED}</form>"
    found = classify(page(body), POLICY)
    assert set(found.words) == {"E-Mail", "Geburtstag", "eduPersonAffiliation"}


def test_terms_go_on_with_the_second_form() -> None:
    found = classify(page(TERMS), POLICY)
    assert found.form is not None
    assert found.form.submission(found.submitter, tick=["_shib_idp_consentIds"]).body == (
        b"_shib_idp_consentIds=tou&_eventId_proceed=Submit"
    )


def test_a_skeleton_holds_shape_and_no_words() -> None:
    shape = skeleton(page("<h1>Ada</h1>" + LOGIN))
    assert "input id=password name=j_password type=password" in shape
    assert "Ada" not in shape
    assert "Login" not in shape
    assert " t" not in shape.replace(" type", "")
