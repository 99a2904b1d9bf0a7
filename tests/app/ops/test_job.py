"""The page of one job: its story, log, output, payload and kin, and what may be changed."""

import re

import pytest

from app.core import paths
from app.ops import ansi
from db.engine import DB
from jobs import batch, logfile
from jobs.enqueue import enqueue
from jobs.outcome import Fail, Snooze
from jobs.stats import get, wait
from tests.app.house import House
from tests.app.ops.conftest import People
from tests.app.ops.samples import Scripted, fails, tell, until

pytestmark = pytest.mark.anyio

Office = tuple[House, People]
STACK = "in scripted"


def url(job_id: str) -> str:
    return f"/admin/queue/jobs/{job_id}"


def story(page: str) -> list[str]:
    """The words of what happened, newest first."""
    part = page[page.index('<ol class="timeline">') :]
    return re.findall(r'<li><span class="state"[^>]*>([^<]+)</span>', part[: part.index("</ol>")])


@pytest.mark.feature("Q-57")
async def test_a_life_with_a_snooze_a_failure_and_an_end(office: Office) -> None:
    """Created, a snooze, a try that failed with its stack, the last try, the end."""
    _house, people = office
    subject = ("user", people.anna_id)
    async with batch.batch(label="Everybody's") as made:
        made.add(Scripted(name="life"), owner=people.anna_id, subject=subject, max_attempts=2)
    job_id = await DB.value("SELECT id FROM queueJobs WHERE batchId = ?", (made.id,))
    tell("life", fails(Snooze(3600)))
    await until(job_id, lambda row: row.snoozes == 1)
    tell("life", fails(ValueError("the page has no table <b>7</b>")))
    await people.admin.post(f"{url(job_id)}/run")
    await until(job_id, lambda row: row.attempts == 1 and row.state == "queued")
    tell("life", lambda ctx: ctx.log.info("second look"), fails(Fail("gone for good", "gone")))
    await people.admin.post(f"{url(job_id)}/run")
    await wait(job_id)
    page = (await people.admin.get(url(job_id))).text
    assert story(page) == [
        "Try 2 failed",
        "Try 1 failed, another follows",
        "Snoozed, no try used up",
        "Asked for",
    ]
    first = page[page.index("Try 1 failed") : page.index("Snoozed")]
    assert "the page has no table &lt;b&gt;7&lt;/b&gt;" in first
    assert "ValueError" in first
    assert STACK in first, "the stack of that try, not only of the last"
    assert re.search(r'data-copy="(attempt-\d-stack)"', first), "and a button that copies it"
    assert "second look" in page, "the log"
    assert "&#34;name&#34;: &#34;life&#34;" in page, "what it was told"
    assert "2 / 2" in page, "tries"
    assert f'href="/admin/users/{people.anna_id}"' in page, "whom it is about"
    assert f'href="/admin/queue/batches/{made.id}"' in page, "the batch it belongs to"
    mine = (await people.anna.get(f"/jobs/{job_id}")).text
    assert "Try 2 failed" in mine
    assert "second look" in mine
    assert STACK not in mine, "a stack is not for the owner"
    assert 'id="payload"' not in mine


@pytest.mark.feature("Q-57")
async def test_a_job_about_a_numbered_row_leads_to_it(office: Office) -> None:
    _house, people = office
    wanted = Scripted(name="numbered")
    job_id = (await enqueue(wanted, subject=("firmware", "7"), delay_s=3600)).id
    page = await people.admin.get(url(job_id))
    assert page.status_code == 200
    assert 'href="/firmware/7"' in page.text


@pytest.mark.feature("Q-57")
async def test_a_rescue_and_a_return_stand_in_the_story(office: Office) -> None:
    _house, people = office
    job_id = (await enqueue(Scripted(name="rescued"), delay_s=3600)).id
    await DB.execute(
        "INSERT INTO job_events(id, job_id, level, context, message, metadata, attempt, created_at)"
        " VALUES('r1', ?1, 'warn', 'queue', 'worker died while running this job',"
        """ '{"kind":"attempt","outcome":"queued","healReason":"orphaned"}', 1, 5),"""
        " ('r2', ?1, 'info', 'queue', 'returned by shutdown',"
        """ '{"kind":"attempt","outcome":"returned","startedAt":5,"ms":12}', 1, 6)""",
        (job_id,),
    )
    page = (await people.admin.get(url(job_id))).text
    assert story(page)[:2] == [
        "Given back by a shutdown, no try used up",
        "Rescued: its worker had died",
    ]
    assert "ran 12 ms" in page


@pytest.mark.feature("Q-57")
async def test_the_box_says_all_that_holds_and_all_that_does_not(office: Office) -> None:
    _house, people = office
    holder = (await enqueue(Scripted(name="holder", serial="pair"))).id
    await until(holder, lambda row: row.state == "running")
    job_id = (await enqueue(Scripted(name="behind", serial="pair"))).id
    page = (await people.admin.get(url(job_id))).text
    box = page[page.index('id="why"') : page.index("</section>", page.index('id="why"'))]
    good = re.findall(r'data-state="success">([^<]+)<', box)
    held = re.findall(r'data-state="held">([^<]+)<', box)
    assert held == ["another job of the same thing runs"]
    assert "its time has come" in good
    assert "a slot is free" in good
    assert f'href="{url(holder)}"' in box, "and who it is"
    tell("holder", None)
    tell("behind", None)
    await wait(job_id)


@pytest.mark.feature("Q-84")
async def test_a_chain_is_shown_as_a_tree_from_every_job_of_it(office: Office) -> None:
    _house, people = office
    tell(
        "root",
        lambda ctx: ctx.then(Scripted(name="left"), label="Left"),
        lambda ctx: ctx.then(Scripted(name="right"), label="Right"),
        None,
    )
    tell("left", lambda ctx: ctx.then(Scripted(name="leaf"), label="Leaf"), None)
    tell("right", None)
    tell("leaf", None)
    root = (await enqueue(Scripted(name="root"), label="Root")).id
    await wait(root)
    ids = {}
    for name in ("Left", "Right", "Leaf"):
        ids[name] = await _named(name)
        await wait(ids[name])
    page = (await people.admin.get(url(ids["Leaf"]))).text
    tree = page[page.index('id="family"') : page.index("</section>", page.index('id="family"'))]
    lines = re.findall(r'<li class="d(\d)"[^>]*>.*?class="main"[^>]*>([^<]+)<', tree)
    assert sorted(lines) == [("0", "Root"), ("1", "Left"), ("1", "Right"), ("2", "Leaf")]
    assert [name for _, name in lines].index("Leaf") == [name for _, name in lines].index(
        "Left"
    ) + 1
    here = re.search(r'aria-current="true"><div class="grow"><span class="main">(\w+)', tree)
    assert here
    assert here[1] == "Leaf"


async def _named(label: str) -> str:
    """The id of a job that a finishing transaction has written by now, or will in a moment."""
    parent = await DB.one("SELECT id, parentId FROM queueJobs WHERE label = ?", (label,))
    if parent is None:
        left = await DB.value("SELECT id FROM queueJobs WHERE label = 'Left'")
        await wait(left)
    return str(await DB.value("SELECT id FROM queueJobs WHERE label = ?", (label,)))


@pytest.mark.feature("Q-71")
async def test_hidden_fields_are_dots_everywhere(office: Office) -> None:
    """In payload, result and form of the page, and in what the terminal prints."""
    _house, people = office
    number = "+49 151 555 0101"
    tell("private", None)
    job_id = (await enqueue(Scripted(name="private", phone=number))).id
    row = await wait(job_id)
    assert number in row.payload_json, "the control: it is stored"
    assert row.result_json is not None
    assert number in row.result_json
    page = (await people.admin.get(url(job_id))).text
    assert number not in page
    assert page.count("&#34;phone&#34;: &#34;•••&#34;") == 2
    waiting = (await enqueue(Scripted(name="private too", phone=number), delay_s=3600)).id
    assert number not in (await people.admin.get(f"{url(waiting)}/edit")).text
    form = {"payload-name": "private too", "payload-count": "4", "payload-how": "fast"}
    form |= {"payload-tags": "[]", "payload-phone": "", "priority": "0", "max_attempts": "3"}
    await people.admin.post(f"{url(waiting)}/edit", data=form)
    after = await get(waiting)
    assert after is not None
    assert number in after.payload_json, "left empty it stays"
    assert '"count":4' in after.payload_json


@pytest.mark.feature("Q-55")
async def test_a_form_made_from_the_payload_changes_a_waiting_job(office: Office) -> None:
    _house, people = office
    job_id = (await enqueue(Scripted(name="edit me", serial="a"), delay_s=3600)).id
    page = (await people.admin.get(f"{url(job_id)}/edit")).text
    assert re.search(r'<input[^>]*name="payload-name"[^>]*value="edit me"', page)
    assert re.search(r'<input[^>]*inputmode="numeric"[^>]*>', page)
    assert re.search(r'<input type="checkbox"[^>]*name="payload-loud"', page)
    choices = dict(re.findall(r'<option value="(slow|fast)"( selected)?>', page))
    assert choices == {"slow": " selected", "fast": ""}
    form = {
        "payload-name": "edited",
        "payload-serial": "b",
        "payload-count": "12",
        "payload-how": "fast",
        "payload-loud": "1",
        "payload-tags": '["x", "y"]',
        "payload-phone": "",
        "priority": "60",
        "delay_s": "",
        "max_attempts": "7",
    }
    wrong = {**form, "payload-count": "many", "payload-tags": "[", "priority": "999"}
    refused = await people.admin.post(f"{url(job_id)}/edit", data=wrong)
    assert refused.status_code == 422
    assert "This is not JSON." in refused.text
    assert "At most 100, please." in refused.text
    assert 'value="many"' in refused.text, "what was typed is kept"
    refused = await people.admin.post(f"{url(job_id)}/edit", data={**form, "payload-count": "many"})
    assert "A whole number, please." in refused.text
    assert (await people.admin.post(f"{url(job_id)}/edit", data=form)).status_code == 303
    row = await get(job_id)
    assert row is not None
    job = Scripted.decode(row.payload_json)
    assert (job.name, job.serial, job.count, job.how) == ("edited", "b", 12, "fast")
    assert (job.loud, job.tags) == (True, ["x", "y"])
    assert (row.priority, row.max_attempts) == (60, 7)
    assert (row.serial_key, row.dedupe_key) == ("b", "samples.scripted:edited"), "keys follow"
    assert await DB.value("SELECT count(*) FROM audit_log WHERE object_id = ?", (job_id,)) == 1
    await enqueue(Scripted(name="taken"), delay_s=3600)
    twin = await people.admin.post(f"{url(job_id)}/edit", data={**form, "payload-name": "taken"})
    assert twin.status_code == 409
    tell("edited", None)
    await people.admin.post(f"{url(job_id)}/run")
    await wait(job_id)
    late = await people.admin.post(f"{url(job_id)}/edit", data=form)
    assert late.status_code == 409, "it does not wait any more"


async def test_a_retry_that_meets_a_live_twin_stays_and_leads_there(office: Office) -> None:
    _house, people = office
    tell("again", fails(Fail("no", "no")))
    old = (await enqueue(Scripted(name="again"))).id
    await wait(old)
    twin = (await enqueue(Scripted(name="again"), delay_s=3600)).id
    answer = await people.admin.post(f"{url(old)}/retry")
    assert answer.status_code == 409
    assert "The same is already queued" in answer.text
    assert f'href="{url(twin)}"' in answer.text


@pytest.mark.feature("Q-70")
@pytest.mark.parametrize(
    ("code", "text", "button"),
    [
        ("timeout", "Give its type more time", 'href="/admin/queue/types">Change its time limit'),
        ("bad_payload", "cannot read", "/delete"),
        ("forced", "Make sure that nothing of it still runs", 'href="/admin/queue/worker"'),
        ("poison", "died three times", "/retry"),
        ("KeyError", "If what it names is mended, try again", "/retry"),
    ],
)
async def test_each_code_has_its_hint_and_its_button(
    office: Office, code: str, text: str, button: str
) -> None:
    _house, people = office
    tell(code, fails(Fail("it broke", code)))
    job_id = (await enqueue(Scripted(name=code))).id
    await wait(job_id)
    page = (await people.admin.get(url(job_id))).text
    notice = page[page.index('<div class="notice') : page.index('<div class="cols">')]
    assert text in notice
    assert button in (page if button == "/retry" else notice)


@pytest.mark.feature("Q-70")
async def test_a_domain_says_itself_what_helps(office: Office) -> None:
    _house, people = office
    await DB.execute(
        "INSERT INTO queueJobs(id, type, state, runAt, ownerUserId, lastError, errorCode,"
        " createdAt, updatedAt, finishedAt)"
        " VALUES('d1', 'tickets.download', 'failed', 1, ?, 'refused', 'wrong_password', 1, 1, 1)",
        (people.anna_id,),
    )
    mine = (await people.anna.get("/jobs/d1")).text
    assert "Password refused. We stopped so that your account is not locked." in mine
    assert re.search(r'href="/tickets/settings">Enter the login again', mine)
    theirs = (await people.admin.get(url("d1"))).text
    assert "Password refused" in theirs
    assert "Enter the login again" not in theirs, "that page would be the admin's own"


@pytest.mark.feature("Q-58")
async def test_the_log_is_filtered_searched_and_saved(office: Office) -> None:
    _house, people = office
    tell(
        "talks",
        lambda ctx: ctx.log.info("segment 31 of 126"),
        lambda ctx: ctx.log.warn("Connection 3 gave no byte"),  # noqa: G010 - a job's, not logging's
        lambda ctx: ctx.log.error("disk is full"),
        None,
    )
    job_id = (await enqueue(Scripted(name="talks"), owner=people.anna_id)).id
    await wait(job_id)

    async def lines(query: str) -> list[str]:
        text = (await people.admin.get(url(job_id) + query)).text
        return re.findall(r'<li data-level="\w+">.*?<p>([^<]+)</p>', text)

    assert await lines("") == ["segment 31 of 126", "Connection 3 gave no byte", "disk is full"]
    assert await lines("?level=warn") == ["Connection 3 gave no byte", "disk is full"]
    assert await lines("?level=error") == ["disk is full"]
    assert await lines("?find=connection") == ["Connection 3 gave no byte"]
    assert await lines("?find=connection&level=error") == []
    assert await lines("?find=%25") == [], "a sign of the search language is only a sign"
    for browser, path in ((people.admin, url(job_id)), (people.anna, f"/jobs/{job_id}")):
        saved = await browser.get(f"{path}/log")
        assert saved.headers["content-type"].startswith("text/plain")
        assert f'filename="{job_id}.log"' in saved.headers["content-disposition"]
        assert [line.split(": ")[1] for line in saved.text.splitlines()] == await lines("")
    assert (await people.ben.get(f"/jobs/{job_id}/log")).status_code == 404


@pytest.mark.feature("Q-90")
async def test_output_keeps_its_colours_and_goes_on_where_it_stopped(office: Office) -> None:
    _house, people = office
    job_id = (await enqueue(Scripted(name="prints"), delay_s=3600)).id
    row = await get(job_id)
    assert row is not None
    file = logfile.LogFile(logfile.path_of(paths.data_dir(), job_id, row.created_at))
    file.append(b"plain <i>\n\x1b[31mred\n")
    page = (await people.admin.get(url(job_id))).text
    part = page[page.index('id="job-output-text"') :]
    assert "plain &lt;i&gt;\n" in part
    assert '<span class="ansi-red">red\n</span>' in part
    tail = f"{url(job_id)}/output?offset=19&look=red%20made-up"
    file.append("still grün\n\x1b[0mplain again\n".encode())
    more = await people.admin.get(
        tail, headers={"HX-Request": "true", "HX-Request-Type": "partial"}
    )
    assert '<span class="ansi-red">still grün\n</span>plain again' in more.text
    assert "made-up" not in more.text
    saved = await people.admin.get(f"{url(job_id)}/output/file")
    assert saved.content.startswith(b"plain <i>\n\x1b[31mred\nstill ")
    assert (await people.admin.get(f"{url('nobody')}/output/file")).status_code == 404


@pytest.mark.feature("Q-90")
@pytest.mark.parametrize(
    ("output", "pieces"),
    [
        (
            "a\x1b[1;32mb\x1b[22mc\x1b[0md",
            [("a", ""), ("b", "bold green"), ("c", "green"), ("d", "")],
        ),
        ("10 %\r55 %\r99 %\nnext", [("99 %\nnext", "")]),
        ("\x1b[38;5;196mx\x1b[39my", [("x", "red"), ("y", "")]),
        ("\x1b[48;2;0;0;255mx", [("x", "on-blue")]),
        ("\x1b]0;title\x07a\x1b[2Kb\x1b(Bc\x00d", [("abcd", "")]),
        ("torn\x1b[3", [("torn", "")]),
    ],
)
def test_what_a_terminal_obeys_becomes_looks_or_goes(
    output: str, pieces: list[tuple[str, str]]
) -> None:
    found, _look = ansi.paint(output)
    assert [(piece.text, piece.look) for piece in found] == pieces


async def test_the_edit_form_of_what_nobody_knows_is_empty(office: Office) -> None:
    _house, people = office
    await DB.execute(
        "INSERT INTO queueJobs(id, type, runAt, createdAt, updatedAt)"
        " VALUES('u1', 'gone.type', 9999999999999, 1, 1)"
    )
    page = await people.admin.get(f"{url('u1')}/edit")
    assert page.status_code == 200
    assert "This version cannot read what it is told." in page.text
    form = {"priority": "5", "max_attempts": "3"}
    assert (await people.admin.post(f"{url('u1')}/edit", data=form)).status_code == 303
    row = await get("u1")
    assert row is not None
    assert row.priority == 5
