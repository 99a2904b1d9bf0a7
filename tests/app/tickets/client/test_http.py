"""The http driver against the stand-in portal: every scenario, over real sockets."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.core.errors import Conflict
from app.core.secret import SecretStr
from app.demo.portal import scenario
from app.demo.portal.serve import Portal, running_portal
from app.tickets.client.driver import Credential, FetchResult, Policy
from app.tickets.client.http import fetch
from app.tickets.outcomes import Fault, Outcome
from app.tickets.paper.validate import Rules, Status, Validation, validate
from app.tickets.profiles import PRESETS
from db import clock

pytestmark = pytest.mark.anyio

MARKERS = ("NVV-Semesterticket", "Deutschlandsemesterticket", "Deutschlandticket")
USER, PASSWORD, NAME = "uk000001", "pw-1", "Test Person 1"

GOOD = (
    *("ok", "ok_storage", "ok_sso_skip", "ok_post_binding", "expiring_notice", "terms"),
    *("consent", "consent_boxes", "consent_de", "consent_text_has_marker_word", "portal_consent"),
    *("changed", "next_month", "volatile", "code_rotates", "hostile_html"),
    *("latin1", "no_charset", "bom", "surrogate"),
)
REFUSED = {
    "wrong_password": Outcome.WRONG_PASSWORD,
    "locked": Outcome.ACCOUNT_LOCKED,
    "password_expired": Outcome.PASSWORD_EXPIRED,
    "login_loop": Outcome.WRONG_PASSWORD,  # the form came back twice
    "stale_request": Outcome.STALE_REQUEST,
    "markup_change": Outcome.PORTAL_CHANGED,
    "mfa": Outcome.MFA_REQUIRED,
    "captcha": Outcome.CAPTCHA,
    "js_challenge": Outcome.JS_CHALLENGE,
    "js_ticket": Outcome.NEEDS_JAVASCRIPT,
    "marker_only_in_script": Outcome.NOT_A_TICKET,
    "maintenance_503": Outcome.MAINTENANCE,
    "maintenance_200": Outcome.MAINTENANCE,
    "error_500": Outcome.PORTAL_5XX,
    "empty_200": Outcome.NETWORK,
    "error_json": Outcome.NOT_HTML,
    "slow": Outcome.TIMEOUT,
    "stall_mid_body": Outcome.TIMEOUT,
    "huge": Outcome.TOO_LARGE,
    "gzip_bomb": Outcome.TOO_LARGE,
    "rate_limit": Outcome.RATE_LIMITED,
    "rate_limit_date": Outcome.RATE_LIMITED,
    "redirect_evil": Outcome.FORBIDDEN_HOST,
    "redirect_loop": Outcome.TOO_MANY_HOPS,
    "http_downgrade": Outcome.FORBIDDEN_HOST,
    "acs_500": Outcome.PORTAL_5XX,
    "drop_cookie": Outcome.TOO_MANY_HOPS,
}
REJECTED = {
    "foreign_ticket": (Status.REJECTED, Outcome.FOREIGN_TICKET),
    "wrong_name": (Status.REJECTED, Outcome.FOREIGN_TICKET),
    "expired": (Status.PARTIAL, Outcome.OK),
    "no_dates": (Status.PARTIAL, Outcome.OK),
}
UNPOSTED = {  # these end before a password could be asked for
    *("markup_change", "captcha", "js_challenge"),
    *("maintenance_503", "maintenance_200", "error_500"),
    *("empty_200", "error_json", "slow", "rate_limit", "rate_limit_date", "redirect_evil"),
    *("redirect_loop", "http_downgrade", "stale_request"),
}


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Portal]:
    async with running_portal() as portal:
        yield portal


@pytest.fixture
def portal(running: Portal) -> Portal:
    running.reset()
    return running


def policy(portal: Portal, **more: object) -> Policy:
    given: dict[str, object] = {
        "portal_url": f"{portal.sp_url}/",
        "idp_hosts": (portal.idp_host,),
        "markers": MARKERS,
        "auto_consent": True,
        "accept_terms": True,
        "request_s": 5.0,
        **more,
    }
    return Policy(**given)  # type: ignore[arg-type]


class Watch:
    """Hears a run's steps and counts its password posts."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.posts = 0

    async def progress(self, step: str) -> None:
        self.steps.append(step)

    async def before_post(self) -> None:
        self.posts += 1


async def run(rules: Policy, watch: Watch, password: str = PASSWORD) -> FetchResult:
    login = Credential(USER, SecretStr(password))
    device = PRESETS["desktop_firefox"]
    return await fetch(login, device, rules, watch.progress, before_post=watch.before_post)


async def refused(rules: Policy, watch: Watch, password: str = PASSWORD) -> Fault:
    with pytest.raises(Fault) as caught:
        await run(rules, watch, password)
    return caught.value


def judged(result: FetchResult, rules: Policy) -> Validation:
    wanted = Rules(
        portal_url=rules.portal_url,
        markers=MARKERS,
        today=clock.now().date(),
        holder_name=NAME,
    )
    return validate(result.page(), wanted, result.assets)


def test_every_scenario_of_the_stand_in_is_tried() -> None:
    assert {*GOOD, *REFUSED, *REJECTED} == scenario.NAMES


@pytest.mark.feature("T-08", "T-12")
@pytest.mark.parametrize("name", GOOD)
async def test_a_ticket_comes_home_without_a_browser(portal: Portal, name: str) -> None:
    portal.scenario(name)
    rules, watch = policy(portal), Watch()
    result = await run(rules, watch)
    found = judged(result, rules)
    assert found.status is Status.VALID, found.checks
    assert (watch.posts, watch.steps[0], watch.steps[-1]) == (1, "Login", "Ticket")
    assert found.holder_name == NAME
    assert result.version


@pytest.mark.feature("T-17", "T-18")
@pytest.mark.parametrize("name", REFUSED)
async def test_every_other_end_has_its_own_name(portal: Portal, name: str) -> None:
    portal.scenario(name)
    watch = Watch()
    hurried = {"slow", "stall_mid_body"}
    fault = await refused(policy(portal, request_s=0.3 if name in hurried else 5.0), watch)
    assert fault.outcome is REFUSED[name]
    assert fault.steps
    assert (watch.posts == 0) == (name in UNPOSTED)


@pytest.mark.parametrize("name", REJECTED)
async def test_a_document_that_came_home_is_judged(portal: Portal, name: str) -> None:
    portal.scenario(name)
    rules = policy(portal)
    found = judged(await run(rules, Watch()), rules)
    assert (found.status, found.outcome) == REJECTED[name]


@pytest.mark.feature("T-17")
async def test_a_wrong_password_is_sent_once(portal: Portal) -> None:
    watch = Watch()
    fault = await refused(policy(portal), watch, "wrong")
    assert (fault.outcome, fault.retry, watch.posts) == (Outcome.WRONG_PASSWORD, False, 1)
    assert portal.stats()["wrong_logins"] == 1


async def test_a_robot_check_on_the_login_form_costs_no_try(portal: Portal) -> None:
    portal.scenario("captcha", at="login_form")
    watch = Watch()
    fault = await refused(policy(portal), watch)
    assert (fault.outcome, watch.posts) == (Outcome.CAPTCHA, 0)


async def test_a_portal_that_forgets_us_is_not_told_the_password_again(portal: Portal) -> None:
    portal.scenario("drop_cookie")
    watch = Watch()
    await refused(policy(portal), watch)
    assert watch.posts == 1


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("consent", Outcome.CONSENT_REQUIRED),
        ("consent_boxes", Outcome.CONSENT_REQUIRED),
        ("portal_consent", Outcome.CONSENT_REQUIRED),
        ("terms", Outcome.TERMS_REQUIRED),
    ],
)
async def test_nothing_is_agreed_to_without_the_persons_choice(
    portal: Portal, name: str, outcome: Outcome
) -> None:
    portal.scenario(name)
    fault = await refused(policy(portal, auto_consent=False, accept_terms=False), Watch())
    assert fault.outcome is outcome
    assert not [line for line in portal.log() if line["kind"] in {"terms", "portal_consent"}]


async def test_a_consent_page_names_what_it_would_release(portal: Portal) -> None:
    portal.scenario("consent_boxes")
    fault = await refused(policy(portal, auto_consent=False), Watch())
    assert len(fault.attributes) == 4
    assert all(name and not name.startswith("_") for name in fault.attributes)


@pytest.mark.parametrize("remember", [False, True])
async def test_consent_is_remembered_only_on_request_and_never_for_everything(
    portal: Portal, remember: bool
) -> None:
    portal.scenario("consent")
    await run(policy(portal, remember_consent=remember), Watch())
    options = [line["option"] for line in portal.log() if line["kind"] == "consent"]
    assert options == [f"_shib_idp_{'remember' if remember else 'doNotRemember'}Consent"]


@pytest.mark.feature("T-14")
async def test_the_password_stays_at_home_when_the_host_is_not_pinned(portal: Portal) -> None:
    watch = Watch()
    other_port = f"localhost:{int(portal.idp_host.rpartition(':')[2]) + 1}"
    for hosts in ((), (other_port,), ("localhost",), ("example.org",)):
        fault = await refused(policy(portal, idp_hosts=hosts), watch)
        assert fault.outcome is Outcome.FORBIDDEN_HOST
    assert watch.posts == 0
    assert portal.stats()["logins"] == 0


@pytest.mark.feature("T-14")
async def test_an_https_portal_never_leads_to_an_open_connection() -> None:
    rules = Policy(portal_url="https://t.example/", idp_hosts=("idp.example",), markers=MARKERS)
    assert rules.pinned(urlsplit("https://idp.example/x"))
    assert rules.pinned(urlsplit("https://IDP.example:443/x"))
    for url in ("http://idp.example/x", "https://idp.example:8443/", "https://t.example/"):
        assert not rules.pinned(urlsplit(url))
    assert not rules.allowed(urlsplit("http://t.example/"))


@pytest.mark.feature("T-14")
@pytest.mark.parametrize(
    ("portal_url", "host", "pinned"),
    [
        ("http://t.example/", "idp.example", False),
        ("http://127.0.0.1:8/", "idp.example", False),
        ("http://127.0.0.1:8/", "localhost", True),
        ("http://[::1]:8/", "10.0.0.7", True),
    ],
)
async def test_without_tls_only_the_own_network_is_trusted(
    portal_url: str, host: str, pinned: bool
) -> None:
    rules = Policy(portal_url=portal_url, idp_hosts=(host,), markers=MARKERS)
    assert rules.pinned(urlsplit(f"http://{host}/login")) is pinned
    assert rules.pinned(urlsplit(f"https://{host}/login"))


async def test_a_refusal_before_the_post_stops_the_run_unsent(portal: Portal) -> None:
    async def refuse() -> None:
        raise Conflict("enough for today")

    login = Credential(USER, SecretStr(PASSWORD))
    with pytest.raises(Conflict):
        await fetch(
            login, PRESETS["iphone_13"], policy(portal), Watch().progress, before_post=refuse
        )
    assert portal.stats()["logins"] == 0


async def test_a_login_check_stops_behind_the_login(portal: Portal) -> None:
    portal.scenario("portal_consent")
    result = await run(policy(portal, login_only=True, auto_consent=False), Watch())
    assert result.outcome is Outcome.OK
    assert not [line for line in portal.log() if line["kind"] == "ticket"]


@pytest.mark.feature("T-25")
async def test_a_known_version_is_read_once_and_an_unknown_one_twice(portal: Portal) -> None:
    portal.scenario("ok", counter=True)
    first = await run(policy(portal), Watch())
    assert len(first.volatile) == 1
    known = policy(
        portal, known_versions=frozenset({first.version}), volatile=frozenset(first.volatile)
    )
    before = sum(line["kind"] == "ticket" for line in portal.log())
    second = await run(known, Watch())
    assert second.version == first.version
    assert sum(line["kind"] == "ticket" for line in portal.log()) == before + 1


@pytest.mark.feature("T-25")
async def test_the_version_follows_the_words_and_nothing_else(portal: Portal) -> None:
    versions = {}
    for name in ("ok", "volatile", "code_rotates", "changed", "next_month"):
        portal.scenario(name)
        versions[name] = (await run(policy(portal), Watch())).version
    assert versions["ok"] == versions["volatile"] == versions["code_rotates"]
    assert len(set(versions.values())) == 3


async def test_the_code_picture_and_the_styles_are_fetched(portal: Portal) -> None:
    portal.scenario("changed", code="url", text="Hinweis " * 100)
    rules = policy(portal)
    result = await run(rules, Watch())
    types = sorted(asset.media_type for asset in result.assets.values())
    assert types == ["image/png", "image/svg+xml", "image/svg+xml", "text/css"]
    assert judged(result, rules).code is not None


async def test_a_hostile_page_makes_the_driver_ask_nobody_else(portal: Portal) -> None:
    portal.scenario("hostile_html")
    result = await run(policy(portal), Watch())
    hosts = {step.host for step in result.steps}
    assert hosts == {portal.sp_url.removeprefix("http://"), portal.idp_host}
    assert not [line for line in portal.log() if line["kind"] == "trap"]


async def test_the_trace_holds_no_query_and_no_secret(portal: Portal) -> None:
    result = await run(policy(portal), Watch())
    assert [step.kind for step in result.steps] == [
        *("redirect", "redirect", "login", "saml_post", "redirect", "ticket", "ticket"),
    ]
    told = repr(result.steps)
    assert not any(word in told for word in ("execution", PASSWORD, USER, "?", "SAML=", "cookie"))


@pytest.mark.parametrize(
    ("name", "params", "seconds"),
    [
        ("rate_limit", {"retry_after": 120}, 120),
        ("rate_limit", {"retry_after": 999_999}, 6 * 3600),
        ("rate_limit", {"retry_after": "soon"}, 15 * 60),
        ("maintenance_503", {"retry_after": 30}, 30),
    ],
)
async def test_a_wait_that_the_portal_asks_for_is_told(
    portal: Portal, name: str, params: dict[str, Any], seconds: int
) -> None:
    portal.scenario(name, **params)
    fault = await refused(policy(portal), Watch())
    assert (fault.outcome, fault.retry_after_s) == (Outcome.RATE_LIMITED, seconds)


async def test_a_wait_until_a_date_is_told_in_seconds(portal: Portal) -> None:
    portal.scenario("rate_limit_date", retry_after=600)
    fault = await refused(policy(portal), Watch())
    assert fault.retry_after_s is not None
    assert 590 <= fault.retry_after_s <= 610


async def test_a_line_that_breaks_is_a_fault_of_the_network(portal: Portal) -> None:
    portal.scenario("stall_mid_body", cut=True)
    assert (await refused(policy(portal), Watch())).outcome is Outcome.NETWORK


async def test_nobody_at_the_portals_address(portal: Portal) -> None:
    fault = await refused(policy(portal, portal_url="http://127.0.0.1:1/"), Watch())
    assert (fault.outcome, fault.retry) == (Outcome.NETWORK, True)


async def test_a_private_address_stays_refused_unless_it_is_the_portals(portal: Portal) -> None:
    rules = policy(portal, proxy_url="http://127.0.0.1:9")
    assert (await refused(rules, Watch())).outcome is Outcome.FORBIDDEN_HOST


async def test_a_proxy_that_is_not_there_is_named(portal: Portal) -> None:
    rules = policy(portal, proxy_url="http://127.0.0.1:9", allow_private_proxy=True)
    assert (await refused(rules, Watch())).outcome is Outcome.PROXY_ERROR
    odd = policy(portal, proxy_url="socks4://127.0.0.1:9", allow_private_proxy=True)
    assert (await refused(odd, Watch())).outcome is Outcome.PROXY_ERROR


async def test_a_run_ends_in_time(portal: Portal) -> None:
    portal.scenario("slow", seconds=5)
    assert (await refused(policy(portal, run_s=0.2), Watch())).outcome is Outcome.TIMEOUT


async def test_too_many_requests_end_a_run(portal: Portal) -> None:
    fault = await refused(policy(portal, max_requests=3), Watch())
    assert fault.outcome is Outcome.TOO_MANY_HOPS


@pytest.mark.feature("T-18")
async def test_a_second_factor_is_named_in_every_shape(portal: Portal) -> None:
    for kind in ("fudis", "otp", "webauthn"):
        portal.scenario("mfa", kind=kind)
        assert (await refused(policy(portal), Watch())).outcome is Outcome.MFA_REQUIRED
