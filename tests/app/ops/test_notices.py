"""Notices that go further: to stand-ins that speak SMTP and HTTP, from the running program."""

import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest

from app.accounts.service import notices as account_notices
from app.core import notify, settings
from app.core.i18n import mark
from app.demo.post import Mailbox, http_server, mail_server
from app.ops.payloads import Notify
from app.tickets.service import notices as ticket_notices
from db import clock
from db.engine import DB
from jobs import rates
from jobs.outcome import Snooze
from jobs.testing import perform
from tests.app.house import House, marker
from tests.app.ops.conftest import People
from tests.app.ops.samples import until

pytestmark = pytest.mark.anyio

OWN, ADMIN = "/account/notifications", "/admin/notifications"


@dataclass(frozen=True)
class Post:
    """The program, and where its notices end up."""

    house: House
    people: People
    mail: Mailbox
    web: Mailbox

    async def add(
        self, browser: httpx.AsyncClient, address: str, path: str = OWN, **more: str
    ) -> str:
        """Add a target by the form; its id. Its pace is made quick."""
        answer = await browser.post(path, data={"address": address, **more})
        assert answer.status_code == 303, answer.text
        found = re.findall(r'id="target-([0-9a-f-]{36})"', (await browser.get(path)).text)[-1]
        await rates.put(f"notify:{found}", 1000, per_s=1, burst=1000)
        return str(found)


@pytest.fixture(scope="module")
async def opened(office: tuple[House, People]) -> AsyncIterator[Post]:
    house, people = office
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(mail_server())
        web = await stack.enter_async_context(http_server())
        # What users enter may be in no private network, unless an admin names the place.
        named = (f"notify {mail.place}", f"notify {web.place}")
        await settings.put("outbound.allow", named, None, actor_kind="system")
        yield Post(house, people, mail, web)


@pytest.fixture
async def post(opened: Post) -> AsyncIterator[Post]:
    yield opened
    await DB.execute("DELETE FROM notification_targets")
    await DB.execute("DELETE FROM queueJobs WHERE type = 'ops.notify' AND state <> 'running'")
    for box in (opened.mail, opened.web):
        box.items.clear()
        box.logins.clear()
        box.status = 200


async def ticket(user_id: str, title: str = ticket_notices.NEW) -> None:
    await ticket_notices.tell(user_id, "new", title, level="good", dedupe=marker())


async def told_in_vain(user_id: str) -> None:
    async with DB.tx():
        await ticket(user_id)
        assert len(await jobs()) == 2, "the control: it was asked for"
        raise RuntimeError


async def jobs() -> list[dict[str, object]]:
    return await DB.all("SELECT * FROM queueJobs WHERE type = 'ops.notify' ORDER BY id")


@pytest.mark.feature("T-55")
async def test_a_new_ticket_is_told_by_mail_ntfy_and_webhook(post: Post) -> None:
    anna, password, key = post.people.anna, marker(), marker()
    await post.add(anna, f"mailto://anna:{password}@{post.mail.place}?to=anna@example.org")
    await post.add(anna, f"ntfy://{marker()}@{post.web.place}/tickets-of-anna")
    await post.add(anna, f"webhook://{key}@{post.web.place}/hook")
    await post.add(anna, f"gotify://{post.web.place}/sub/app-token")
    await DB.execute("UPDATE users SET locale = 'de' WHERE id = ?", (post.people.anna_id,))
    await ticket(post.people.anna_id)
    [letter] = await post.mail.wait(1)
    posts = {each.path: each for each in await post.web.wait(3)}
    await DB.execute("UPDATE users SET locale = 'en' WHERE id = ?", (post.people.anna_id,))

    sentence = "Ein neues Semesterticket ist da"
    assert (letter["To"], letter["Subject"]) == ("anna@example.org", f"Holdfast: {sentence}")
    assert sentence in letter.get_content()
    assert post.mail.logins == [("anna", password)]
    told = json.loads(posts["/"].body)
    assert (told["topic"], told["message"]) == ("tickets-of-anna", sentence)
    assert posts["/"].headers["authorization"].startswith("Bearer marker")
    hook = posts["/hook"]
    assert json.loads(hook.body)["kind"] == "tickets.new"
    signed = f"{hook.headers['x-holdfast-timestamp']}.".encode() + hook.body
    expected = hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()
    assert hook.headers["x-holdfast-signature"] == f"sha256={expected}"
    assert posts["/sub/message"].headers["x-gotify-key"] == "app-token"


@pytest.mark.feature("T-55")
async def test_a_notice_comes_once_and_only_with_its_row(post: Post) -> None:
    anna = post.people.anna_id
    await post.add(post.people.anna, f"webhook://{marker()}@{post.web.place}/hook")
    for _ in range(3):
        await ticket_notices.tell(anna, "new", ticket_notices.NEW, dedupe="the same")
    with pytest.raises(RuntimeError):
        await told_in_vain(anna)
    await ticket_notices.tell(anna, "new", mark("A passkey was set up."), dedupe="the last")
    posts = await post.web.wait(2)
    texts = [json.loads(each.body)["text"] for each in posts]
    assert texts == ["A new semester ticket is here", "A passkey was set up."]
    assert len(await jobs()) == 2


@pytest.mark.feature("X-55")
async def test_the_button_says_how_it_went(post: Post) -> None:
    anna = post.people.anna
    target = await post.add(anna, f"ntfy://{post.web.place}/topic")
    assert "nothing sent yet" in (await anna.get(OWN)).text
    await anna.post(f"{OWN}/{target}/test")
    [sent] = await post.web.wait(1)
    assert json.loads(sent.body)["title"] == "Holdfast: a test"
    assert ">sent<" in (await anna.get(OWN)).text
    post.web.status = 403
    await anna.post(f"{OWN}/{target}/test")
    assert "The server answered 403." in (await anna.get(OWN)).text
    odd = await anna.post(f"{OWN}/{target}", data={"quiet_from": "25:00"})
    assert odd.status_code == 422
    assert "A time of day looks like 22:30." in odd.text
    assert (await post.people.ben.post(f"{OWN}/{target}/test")).status_code == 404
    await anna.post(f"{OWN}/{target}/remove")
    assert "Nowhere yet" in (await anna.get(OWN)).text


@pytest.mark.feature("X-55")
async def test_quiet_hours_hold_what_comes_and_send_it_as_one(post: Post) -> None:
    anna, me = post.people.anna, post.people.anna_id
    look = {"part": "look", "locale": "en", "theme": "auto", "time_zone": "UTC"}
    await anna.post("/account", data=look)
    now = clock.now()
    begin, end = now - timedelta(hours=2), now + timedelta(hours=3)
    quiet = {"quiet_from": f"{begin:%H:%M}", "quiet_to": f"{end:%H:%M}"}
    target = await post.add(anna, f"webhook://{marker()}@{post.web.place}/hook", **quiet)
    await ticket(me)
    await ticket(me, ticket_notices.EXPIRING)
    [held] = await jobs()
    due = clock.from_ms(int(str(held["runAt"])))
    assert f"{due:%H:%M}" == quiet["quiet_to"]
    assert now < due < now + timedelta(hours=4)
    with pytest.raises(Snooze):  # whoever starts it by hand
        await perform(Notify.decode(str(held["payloadJson"])))
    await anna.post(f"{OWN}/{target}")  # no quiet hours any more: their end
    await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE id = ?", (held["id"],))
    [sent] = await post.web.wait(1)
    told = json.loads(sent.body)
    assert told["title"] == "Holdfast: 2 new notices"
    assert told["text"].splitlines() == [
        "A new semester ticket is here",
        "The semester ticket ends soon",
    ]


@pytest.mark.feature("X-55")
async def test_above_ten_an_hour_the_rest_is_one_message(post: Post) -> None:
    me = await post.house.person("busy")
    await post.add(await post.house.browser(me), f"webhook://{marker()}@{post.web.place}/hook")
    for _ in range(13):
        await ticket(me)
    await post.web.wait(10)
    held = [row for row in await jobs() if '"held":true' in str(row["payloadJson"])]
    assert (len(await jobs()), len(held)) == (11, 1)
    assert 0 < int(str(held[0]["runAt"])) - clock.ms() <= 3_600_000
    await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE id = ?", (held[0]["id"],))
    last = (await post.web.wait(11))[-1]
    assert json.loads(last.body)["title"] == "Holdfast: 3 new notices"


@pytest.mark.feature("X-55")
async def test_only_the_chosen_kinds_are_sent(post: Post) -> None:
    me = post.people.anna_id
    address = f"webhook://{marker()}@{post.web.place}/hook"
    await post.add(post.people.anna, address, kinds="security")
    await ticket(me)
    await account_notices.tell(me, "security", mark("A passkey was removed."))
    [sent] = await post.web.wait(1)
    assert json.loads(sent.body)["text"] == "A passkey was removed."
    assert len(await jobs()) == 1


@pytest.mark.feature("X-55")
async def test_admins_hear_of_the_instance_once(post: Post) -> None:
    """Two admins have the notice in their inboxes; the instance's target gets it once."""
    await post.house.person("second-admin", role="admin")
    assert (await post.people.anna.get(ADMIN)).status_code == 403
    await settings.put("outbound.allow", (), None, actor_kind="system")  # an admin's word is enough
    await post.add(post.people.admin, f"webhook://{marker()}@{post.web.place}/hook", ADMIN)
    await ticket(post.people.anna_id)
    await ticket_notices.alert("storage", ticket_notices.STORAGE, dedupe=marker())
    [sent] = await post.web.wait(1)
    named = (f"notify {post.mail.place}", f"notify {post.web.place}")
    await settings.put("outbound.allow", named, None, actor_kind="system")
    assert json.loads(sent.body)["text"] == "Tickets cannot be saved on this server"
    assert len(await jobs()) == 1


async def test_users_reach_no_private_place(post: Post) -> None:
    """The control: the same place is reached where an admin has named it."""
    anna = post.people.anna
    targets = [
        await post.add(anna, f"webhook://{marker()}@{post.web.place}/hook"),
        await post.add(anna, f"mailto://{post.mail.place}?to=anna@example.org"),
    ]
    named = await settings.get("outbound.allow")
    await settings.put("outbound.allow", (), None, actor_kind="system")
    for target in targets:
        await anna.post(f"{OWN}/{target}/test")
    await anna.get(OWN)  # takes the toast along
    assert (await anna.get(OWN)).text.count("This place may not be called") == 2
    assert (post.web.items, post.mail.items) == ([], [])
    await settings.put("outbound.allow", named, None, actor_kind="system")
    for target in targets:
        await anna.post(f"{OWN}/{target}/test")
    assert len(await post.web.wait(1)) == len(await post.mail.wait(1)) == 1


async def test_the_address_stands_in_no_page_row_or_log(
    post: Post, capfd: pytest.CaptureFixture[str]
) -> None:
    """Sent, refused by the server, and refused by the form: nowhere is it said again."""
    anna, secret = post.people.anna, marker()
    refused = await anna.post(OWN, data={"address": f"ntfy://{secret}@{post.web.place}/"})
    assert (refused.status_code, secret in refused.text) == (422, False)
    post.web.status = 403
    target = await post.add(anna, f"webhook://{secret}@{post.web.place}/hook")
    await ticket(post.people.anna_id)
    await post.web.wait(1)
    await anna.post(f"{OWN}/{target}/test")
    pages = [(await anna.get(path)).text for path in (OWN, "/jobs", "/notifications")]
    pages.append((await post.people.admin.get("/admin/audit")).text)
    assert f"target-{target}" in pages[0]
    assert not [page for page in pages if secret in page]
    for table in ("queueJobs", "job_events", "audit_log", "notification_targets"):
        rows = json.dumps(await DB.all(f"SELECT * FROM {table}"), default=str)
        assert (target in rows or table == "job_events", secret in rows) == (True, False)
    assert secret not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("syslog://localhost", "It begins like one of the examples"),
        ("mailto://smtp.example.org", "Say whom it is for"),
        ("mailto://smtp.example.org?to=a@b.c%0d%0aBcc:x@y.z", "Say whom it is for"),
        ("ntfy://ntfy.example.org", "is missing"),
        ("webhook://short@example.org/x", "at least 16 characters"),
        ("webhook://long-enough-secret@[::x/", "not an address"),
    ],
)
async def test_what_is_no_address_is_refused(post: Post, address: str, sentence: str) -> None:
    answer = await post.people.anna.post(OWN, data={"address": address})
    assert answer.status_code == 422
    assert sentence in answer.text


async def test_a_notice_has_one_name_at_every_attempt(post: Post) -> None:
    """A receiver can tell a repetition by it: the second attempt follows a 503."""
    await post.add(post.people.anna, f"webhook://{marker()}@{post.web.place}/hook")
    post.web.status = 503
    await ticket(post.people.anna_id)
    await post.web.wait(1)
    [row] = await jobs()
    await until(str(row["id"]), lambda job: job.state == "queued" and job.attempts == 1)
    post.web.status = 200
    await DB.execute("UPDATE queueJobs SET runAt = 0 WHERE id = ?", (row["id"],))
    names = [each.headers["x-holdfast-id"] for each in await post.web.wait(2)]
    newest = (await notify.list_notices(post.people.anna_id, limit=1))[0]
    assert names == [newest.id] * 2
