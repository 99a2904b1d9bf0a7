"""What a first visitor of the demo finds: people, a month behind them, and work that runs now.

Everything of today is asked for through the same services that the pages call, so it is real; only
the days before are written as rows. Done once, on a fresh folder.
"""

import secrets
from datetime import timedelta
from uuid import UUID

from app.accounts.service import invites, passwords, users
from app.core.errors import AppError
from app.core.logs import log
from app.demo.fus.catalog import DEVICES
from app.firmware.service import wishes
from app.tickets.service import choices, logins, runs
from app.tickets.service.choices import Choices
from db import clock
from db.engine import DB
from jobs import history

DAYS, HOUR_MS = 30, 3_600_000
# Login, number at the portal, days since they came. The last one's stored password is wrong.
PEOPLE = (
    ("anna.brandt", 2, 26),
    ("ben.okafor", 3, 19),
    ("wilhelmine.hohenlohe-schillingsfuerst", 4, 12),
    ("cem.yildiz", 5, 6),
)
WRONG = "cem.yildiz"
# Type, its name, each how many hours, how long it takes in ms, every how manieth goes wrong.
WORK = (
    ("tickets.check_base", "Check base ticket", 6, 2400, 17),
    ("tickets.download", "Download semester ticket", 31, 5200, 9),
    ("firmware.check", "Look up SM-S921B EUX", 24, 1800, 13),
    ("accounts.sweep", "Sweep ended sessions", 24, 40, 0),
)
_JOB = """
INSERT INTO queueJobs (id, type, label, state, runAt, ownerUserId, attempts, lastError, errorCode,
  createdAt, updatedAt, startedAt, finishedAt, acknowledgedAt)
VALUES (:id, :type, :label, :state, :at, :owner, 1, :error, :code, :at, :end, :at, :end, :end)
"""
_INVITE = """
UPDATE invite_tokens SET created_at = ?, expires_at = ?, revoked_at = ?, used_by = ?, used_at = ?
WHERE substr(token, 1, 8) = ?
"""


async def settle(admin: str, student: str) -> None:
    """Fill the house. `admin` and `student`: the logins that were made for the visitor."""
    admin_id, student_id = await _id_of(admin), await _id_of(student)
    people = await _people(admin_id)
    await _invites(admin_id, people)
    await _month([admin_id, student_id, *people.values()])
    await logins.save_login(admin_id, "uk000010", "pw-10")
    await choices.save_choices(admin_id, Choices(auto_consent=True))
    device = DEVICES["SM-S921B"]
    version = device.latest.version
    try:
        for user_id in (student_id, admin_id, *people.values()):
            await runs.order_download(user_id)
        await wishes.order(admin_id, device.model, "EUX", version, take_served=True)
    except AppError as error:  # a demo with less in it is still one
        log.warning("demo.unsettled", reason=str(error))


async def _people(admin_id: str) -> dict[str, str]:
    """Friends of the house; nobody can sign in as them."""
    hashed = await (await passwords.current_hasher()).hash(secrets.token_urlsafe(24))
    ids = {}
    for login, number, days in PEOPLE:
        person = users.tidy(login, f"{login.partition('.')[0]}@example.org", "")
        user_id = await users.insert_user(person, hashed, role="user", invited_by=admin_id)
        came = clock.now() - timedelta(days=days)
        seen = clock.text(came + timedelta(days=days * 0.9))
        await DB.execute(
            "UPDATE users SET created_at = ?, last_login_at = ? WHERE id = ?",
            (clock.text(came), seen, user_id),
        )
        password = "old" if login == WRONG else f"pw-{number}"
        await logins.save_login(user_id, f"uk{number:06}", password)
        await choices.save_choices(user_id, Choices(auto_consent=True))
        ids[login] = user_id
    return ids


async def _invites(admin_id: str, people: dict[str, str]) -> None:
    """A used invite for each of them, one that was taken back, one that nobody used, one open."""
    now = clock.now()
    for login, _number, days in PEOPLE:
        made = now - timedelta(days=days, hours=5)
        used = clock.text(made + timedelta(hours=4))
        invite = await invites.create_invite(admin_id, label=login.partition(".")[0].title())
        ends = clock.text(made + timedelta(days=3))
        await DB.execute(_INVITE, (clock.text(made), ends, None, people[login], used, invite.short))
    for label, days, revoked in (("Ada's phone", 15, True), ("Somebody from the club", 9, False)):
        made = now - timedelta(days=days)
        invite = await invites.create_invite(admin_id, label=label)
        ends, over = clock.text(made + timedelta(days=3)), clock.text(made + timedelta(hours=2))
        await DB.execute(
            _INVITE, (clock.text(made), ends, over if revoked else None, None, None, invite.short)
        )
    await invites.create_invite(admin_id, label="Tom, for the summer term", hours=72)


async def _month(owners: list[str]) -> None:
    """Jobs of the last thirty days, all seen by somebody, and their figures for the charts."""
    now, rows, cells = clock.ms(), list[dict[str, object]](), history.Cells()
    for kind, label, hours, took, wrong in WORK:
        for number in range(1, DAYS * 24 // hours):
            at = now - number * hours * HOUR_MS - number * 97_000
            failed = bool(wrong) and number % wrong == 0
            run_ms = took + number % 7 * took // 9
            rows.append(
                {
                    "id": _id_at(at),
                    "type": kind,
                    "label": label,
                    "state": "failed" if failed else "succeeded",
                    "owner": owners[number % len(owners)] if kind == "tickets.download" else None,
                    "error": "The portal did not answer in time." if failed else None,
                    "code": "timeout" if failed else None,
                    "at": at,
                    "end": at + run_ms,
                }
            )
            cell = cells.setdefault((at // history.MINUTE_MS, kind), history.Cell())
            cell.counts.update(["enqueued", "failed" if failed else "succeeded"])
            cell.hist.wait[history.bucket(20 + number % 5 * 9)] += 1
            cell.hist.run[history.bucket(run_ms)] += 1
    async with DB.tx():
        for row in rows:
            await DB.execute(_JOB, row)
    await DB.write(lambda connection: history.write(connection, cells))


def _id_at(ms: int) -> str:
    """A key as it would have been given then: lists are in the order of keys."""
    return str(UUID(int=ms << 80 | 0x7 << 76 | 0b10 << 62 | secrets.randbits(62)))


async def _id_of(login: str) -> str:
    return str(await DB.value("SELECT id FROM users WHERE login = ?", (login,)))
