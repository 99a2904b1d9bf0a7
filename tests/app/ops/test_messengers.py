"""Notices to messengers, sent by Apprise over real HTTP: one's own servers, and those with a name.

The services that are only at a name of their own are met behind a proxy that is each of them.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core import guard
from app.demo.post import Mailbox, far_end, http_server
from db.engine import DB
from tests.app.house import House, marker
from tests.app.ops.conftest import People
from tests.app.ops.test_notices import ADMIN, OWN, Post, ticket
from tests.certificate import certificate

pytestmark = pytest.mark.anyio

NAMES = (
    "api.telegram.org",
    "discord.com",
    "hooks.slack.com",
    "api.pushover.net",
)


@pytest.fixture
async def web() -> AsyncIterator[Mailbox]:
    async with http_server() as box:
        yield box


@pytest.fixture
async def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mailbox]:
    files = certificate(tmp_path, *NAMES)
    async with far_end(files) as box:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{box.place}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files[0]))
        yield box


@pytest.fixture
async def post(office: tuple[House, People], web: Mailbox, far: Mailbox) -> AsyncIterator[Post]:
    yield Post(*office, mail=far, web=web)
    await DB.execute("DELETE FROM notification_targets")


@pytest.mark.feature("X-19")
async def test_a_new_ticket_is_told_by_the_messengers(post: Post, far: Mailbox) -> None:
    anna, token = post.people.anna, "123456789:" + marker().rjust(35, "m")
    await post.add(anna, f"tgram://{token}/4711")
    await post.add(anna, f"discord://4174216298/{'d' * 40}")
    await post.add(anna, f"slack://T1JJ3T3L2/A1BRTD4JD/{'s' * 24}/#tickets")
    await post.add(anna, f"pover://{'u' * 30}@{'t' * 30}")
    await ticket(post.people.anna_id)
    posts = {each.headers["host"]: each for each in await far.wait(4)}
    sentence = "A new semester ticket is here"
    telegram = posts["api.telegram.org"]
    assert telegram.path == f"/bot{token}/sendMessage"
    assert json.loads(telegram.body)["chat_id"] in (4711, "4711")
    assert posts["discord.com"].path.startswith(f"/api/webhooks/4174216298/{'d' * 40}")
    assert json.loads(posts["hooks.slack.com"].body)["channel"] == "#tickets"
    assert f"user={'u' * 30}".encode() in posts["api.pushover.net"].body
    for each in posts.values():
        assert sentence in each.body.decode().replace("+", " ")
    page = (await anna.get(OWN)).text
    assert all(word in page for word in ("Telegram", "4711", "Discord", "Slack", "#tickets"))
    assert token not in page


@pytest.mark.feature("X-19")
async def test_admins_reach_messengers_on_their_own_servers(post: Post) -> None:
    admin, web = post.people.admin, post.web
    addresses = (
        f"mmost://{web.place}/{'m' * 26}",
        f"signal://{web.place}/+4915112345678/+4917112345678",
        f"matrix://{'x' * 20}@{web.place}/!room:example.org",
    )
    for address in addresses:
        target = await post.add(admin, address, ADMIN)
        await admin.post(f"{ADMIN}/{target}/test")
    paths = [each.path for each in web.items]
    assert paths[0] == f"/hooks/{'m' * 26}"
    assert paths[1] == "/v2/send"
    assert "/rooms/%21room%3Aexample.org/send/m.room.message/" in paths[-1]
    assert all(b"Holdfast: a test" in web.items[at].body for at in (0, 1, -1))
    assert (await admin.get(ADMIN)).text.count("sent") >= 3


@pytest.mark.parametrize(
    ("status", "sentence"), [(403, "The server answered 403."), (503, "The server answered 503.")]
)
async def test_what_a_messenger_answers_is_said(post: Post, status: int, sentence: str) -> None:
    admin = post.people.admin
    target = await post.add(admin, f"mmost://{post.web.place}/{'m' * 26}", ADMIN)
    post.web.status = status
    await admin.post(f"{ADMIN}/{target}/test")
    assert sentence in (await admin.get(ADMIN)).text


async def test_an_address_names_few_receivers(post: Post) -> None:
    """Each is a request that waits for its answer, and other people's notices stand behind."""
    numbers = "/".join(f"+491511234567{n}" for n in range(5))
    address = f"signal://{post.web.place}/{numbers}"
    answer = await post.people.admin.post(ADMIN, data={"address": address})
    assert (answer.status_code, "lacks a part" in answer.text) == (422, True)


async def test_a_messenger_that_is_not_there_is_said(post: Post) -> None:
    admin = post.people.admin
    target = await post.add(admin, "signal://127.0.0.1:1/+4915112345678/+4917112345678", ADMIN)
    await admin.post(f"{ADMIN}/{target}/test")
    assert "The server cannot be reached." in (await admin.get(ADMIN)).text


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("mmost://127.0.0.1:8065/mmmmmmmmmmmmmmmmmmmmmmmmmm", "admins add it at Channels"),
        ("json://127.0.0.1/", "like one of the examples"),
        ("syslog://", "like one of the examples"),
        ("tgram://no-token/4711", "lacks a part"),
        (f"tgram://123456789:{'a' * 35}/", "lacks a part"),
        ("tgram://123:#/x", "lacks a part"),
        ("tgram://123:/x", "lacks a part"),
        (f"tgram://123456789:/{'a' * 35}/4711", "lacks a part"),
        (f"tgram://123456789:{'a' * 35}/1/2", "lacks a part"),
        ("discord://..%2F..%2Foauth2/x", "lacks a part"),
        (f"slack://T1JJ3T3L2/A1BRTD4JD/{'s' * 24}?mode=gov-hook", "lacks a part"),
        (f"TGRAM://123456789:{'a' * 35}//", "lacks a part"),
        (f"tgram://123456789:{'a' * 35}/4711?template=/etc/passwd", "lacks a part"),
        (f"tgram://123456789:{'a' * 35}/4711?topic=7;template=/etc/passwd", "lacks a part"),
        (f"tgram://123456789:{'a' * 35}/4711?topic=7?verify=no", "lacks a part"),
        (f"tgram://123456789:{'a' * 35}/4711%3Fverify=no", "lacks a part"),
        (f"tgram://123456789:{'a' * 35}/4711?%76erify=no", "lacks a part"),
        (f"tgram://123456789:{'a' * 35}/4711?+x=y", "lacks a part"),
        (f"pover://{'u' * 30}@{'t' * 30}?verify=no", "lacks a part"),
        (f"discord://4174216298/{'d' * 40}?redirect=yes", "lacks a part"),
    ],
)
async def test_what_a_messenger_may_not_be_told_is_refused(
    post: Post, address: str, sentence: str
) -> None:
    answer = await post.people.anna.post(OWN, data={"address": address})
    assert answer.status_code == 422
    assert sentence in answer.text


async def test_a_demo_sends_nothing_out(post: Post, far: Mailbox) -> None:
    anna = post.people.anna
    target = await post.add(anna, f"tgram://123456789:{'a' * 35}/4711")
    guard.local_only(True)
    try:
        await anna.post(f"{OWN}/{target}/test")
    finally:
        guard.local_only(False)
    assert "A demo sends nothing out of this machine." in (await anna.get(OWN)).text
    assert far.items == []
    await anna.post(f"{OWN}/{target}/test")
    assert len(far.items) == 1, "the control"


async def test_a_token_stands_in_no_log(post: Post, capfd: pytest.CaptureFixture[str]) -> None:
    anna, token = post.people.anna, "123456789:" + marker().rjust(35, "m")
    post.mail.status = 401
    target = await post.add(anna, f"tgram://{token}/4711")
    await anna.post(f"{OWN}/{target}/test")
    assert "The server answered 401." in (await anna.get(OWN)).text
    assert len(post.mail.items) == 1
    assert token not in "".join(capfd.readouterr())
