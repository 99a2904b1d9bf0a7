"""Log lines: one line each, with their ids, and without secrets."""

import json
import logging
import secrets

import httpx
import pytest

from app.core import logs, vault
from app.core.logs import log, redact
from app.core.secret import SecretStr, remember
from db.engine import ApswEngine
from tests.app.core.conftest import Lines

pytestmark = pytest.mark.anyio

SESSION = "q3XhV0s-Zk8_1dYtB5nRr7cWmPpLLaQeGfHjKzXv02A"


@pytest.mark.feature("X-52")
async def test_a_line_has_time_level_event_and_the_ids_of_request_and_job(lines: Lines) -> None:
    request, job = logs.request_id.set("01890000-request"), logs.job_id.set("77")
    log.info("ticket.fetched", user_id="u1", size_bytes=12)
    logging.getLogger("uvicorn.error").info("listening on %s", "8040")
    logs.request_id.reset(request)
    logs.job_id.reset(job)
    log.info("later")
    ours, theirs, after = lines.read()
    assert ours["ts"].endswith("Z")
    assert (ours["level"], ours["event"], ours["size_bytes"]) == ("info", "ticket.fetched", 12)
    assert (ours["request_id"], ours["job_id"]) == ("01890000-request", "77")
    assert (theirs["event"], theirs["request_id"]) == ("listening on 8040", "01890000-request")
    assert "request_id" not in after
    assert "job_id" not in after


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "userPasswd",
        "secret",
        "client_secret",
        "token",
        "apiToken",
        "key",
        "api_key",
        "apiKey",
        "Authorization",
        "Set-Cookie",
        "otp",
        "code",
        "sid",
        "accountSid",
    ],
)
async def test_values_of_telling_names_are_masked_at_any_depth(lines: Lines, name: str) -> None:
    log.info(
        "sample", **{name: "visible"}, nested=[{"a": {name: "visible"}}], number={name: 123456}
    )
    assert "visible" not in lines.text
    assert "123456" not in lines.text
    assert name in lines.text


@pytest.mark.parametrize("name", ["inside", "monkey", "status_code", "barcode", "decoder"])
async def test_names_that_only_look_like_it_are_not(lines: Lines, name: str) -> None:
    log.info("sample", **{name: "visible"})
    assert "visible" in lines.text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"sent hf_abcdefgh_{'A' * 43}123456 back", "sent ••• back"),
        ("stored hf1.01890000-0000.QUJDREVG-_x", "stored •••"),
        ("sent Bearer abc.def-ghi on", "sent Bearer ••• on"),
        ("basic dXNlcjpwYXNz", "basic •••"),
        (f"account AC{'0' * 32} key SK{'f' * 32}", "account ••• key •••"),
        ("OPENROUTER sk-or-v1-0123456789", "OPENROUTER •••"),
        ("Cookie: a=1; b=2", "Cookie: •••"),
        ("__Host-holdfast=abc; x=1", "__Host-holdfast=•••; x=1"),
        ("socks5://ada:pw@proxy:1080/", "socks5://•••@proxy:1080/"),
        ("GET https://x.org/a?user=1&apikey=abc&x=2", "GET https://x.org/a?user=1&apikey=•••&x=2"),
        ("/cb?code=abc#f", "/cb?code=•••#f"),
        ("GET /join/abc-DEF and /reset/xyz?x", "GET /join/… and /reset/…?x"),
        (f"session {SESSION}.", "session •••."),
        (
            '{"user": "u", "password": "a\\"b", "code": 123456}',
            '{"user": "u", "password": "•••", "code": "•••"}',
        ),
        ("password=hunter2, user=ada", "password=•••, user=ada"),
    ],
)
async def test_what_looks_like_a_secret_is_masked_wherever_it_stands(
    lines: Lines, text: str, left: str
) -> None:
    assert redact(text) == left
    log.info(text, note=text)
    line = lines.read()[0]
    assert line["event"] == line["note"] == left


@pytest.mark.parametrize(
    "text",
    [
        "ticket 42 fetched in 3 s",
        "status code 404 from portal",
        "a1" * 32,
        "01890000-0000-7000-8000-000000000001",
        "see https://example.org/a?page=2&sort=name",
        "the-quick-brown-fox-jumps-over-the-lazy-dog",
        "Basic settings",
    ],
)
async def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) in {text, "Basic •••"}


async def test_a_long_text_of_anything_is_looked_through_in_one_go() -> None:
    for piece in ("a.", "a-", "?a", '"a', "://", "hf1.", "A1a", "password", "key=", "cookie"):
        redact(piece * (128 * 1024 // len(piece)))


async def test_tokens_of_ours_are_all_found() -> None:
    missed = [
        token
        for token in (secrets.token_urlsafe(32) for _ in range(300))
        if set("ABCDEFGHIJKLMNOPQRSTUVWXYZ") & set(token)
        and any(sign.isdigit() for sign in token)
        and redact(f"x {token} y") != "x ••• y"
    ]
    assert not missed


async def test_a_secret_opened_lately_is_masked_in_warnings_and_tracebacks(
    house: ApswEngine, lines: Lines
) -> None:
    record = json.dumps({"sid": "plain-words-sid", "auth": "plain words auth"})
    assert vault.open("t", "c", 1, vault.seal("t", "c", 1, record))
    vault.open("t", "c", 2, vault.seal("t", "c", 2, "correct horse"))
    log.warning("login failed for correct horse", why="plain words auth was refused")
    try:
        raise ValueError("correct horse is wrong")
    except ValueError:
        log.exception("crashed")
        logging.getLogger("elsewhere").exception("also")
    assert len(lines.read()) == 3
    assert "horse" not in lines.text.replace('"correct horse"', "")
    assert "words" not in lines.text
    assert redact("the correct horse") == "the •••"


async def test_only_the_newest_secrets_are_kept_and_no_short_words() -> None:
    remember("first-of-many")
    for number in range(200):
        remember(f"number-{number:04d}-")
    remember("abc")
    assert redact("first-of-many abc number-0199-") == "first-of-many abc •••"


async def test_a_traceback_shows_no_local_variables(lines: Lines) -> None:
    for form in ("json", "console"):
        lines.setup(form)
        hidden_local = "only-in-a-local-variable"
        try:
            raise ValueError(len(hidden_local))
        except ValueError:
            log.exception("crashed")
            logging.getLogger("elsewhere").exception("crashed")
    assert lines.text.count("ValueError: 24") == 4
    assert lines.text.count("only-in-a-local-variable") == lines.text.count('hidden_local = "only')


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_input_can_make_a_second_line_or_move_the_terminal(
    lines: Lines, form: str
) -> None:
    lines.setup(form)
    evil = 'x\r\n{"level":"info"}\n\x1b[2J\x9b1m\u2028\u202eend\x00'
    log.info("sample", login=evil, nested={"a": [evil], evil: 1})
    logging.getLogger("elsewhere").info("user agent %s", evil)
    try:
        raise ValueError(f"bad\n2026-11-01T00:00:00.000Z [info] forged{evil}")
    except ValueError:
        log.exception("crashed")
    text = lines.text
    assert not [sign for sign in "\r\x1b\x9b\u2028\u202e\x00" if sign in text]
    if form == "json":
        assert len(lines.read()) == 3
    else:
        heads = [line for line in text.splitlines() if not line.startswith("  | ")]
        assert len(heads) == 3
        assert not [line for line in heads if "forged" in line]


async def test_httpx_does_not_write_addresses(lines: Lines, serve: object) -> None:
    server = await serve()  # type: ignore[operator]
    async with httpx.AsyncClient() as client:
        await client.get(f"{server.url}/path?apikey=visible")
    assert server.heads
    assert "visible" not in lines.text
    assert "/path" not in lines.text


async def test_the_level_decides_what_is_written(lines: Lines) -> None:
    lines.setup("json", "warning")
    log.info("quiet")
    log.warning("loud")
    logging.getLogger("elsewhere").info("quiet")
    assert [line["event"] for line in lines.read()] == ["loud"]


async def test_setting_up_again_writes_each_line_once(lines: Lines) -> None:
    lines.setup()
    lines.setup()
    log.info("sample")
    assert len(lines.read()) == 1


async def test_recent_lines_are_kept_redacted_for_the_log_page(lines: Lines) -> None:
    log.info("sample", password="visible", wrapped=SecretStr("visible"))
    last = logs.recent()[-1]
    assert (last["event"], last["password"], last["wrapped"]) == ("sample", "•••", "•••")
    for number in range(logs.LINES_KEPT + 5):
        log.info("many", n=number)
    assert len(logs.recent()) == logs.LINES_KEPT
