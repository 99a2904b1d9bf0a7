"""Every page about tickets in every language: nothing that has a translation is left in English."""

import re

import pytest

from app.tickets.paper.page import Page
from app.tickets.service import library
from app.tickets.settings import DRIVERS
from db.engine import DB
from tests import catalogs
from tests.app.tickets.desk import Desk

pytestmark = pytest.mark.anyio

PATHS = (
    *("", "/show", "/list", "/history", "/settings", "/devices", "/devices/new", "/{ticket}"),
    *("/admin", "/admin/users", "/admin/history", "/admin/errors", "/admin/settings"),
    "/admin/probe",
)


@pytest.mark.feature("T-64")
async def test_no_page_about_tickets_leaves_a_language(desk: Desk) -> None:
    user_id = await desk.student()
    await DB.execute("UPDATE users SET role = 'admin' WHERE id = ?", (user_id,))
    await desk.run(user_id)
    desk.portal.scenario("wrong_password", times=1)
    await desk.run(user_id)
    ticket = await library.current_ticket(user_id)
    assert ticket is not None
    english: dict[str, list[str]] = {}
    for language in ("en", "de", "ru", "es"):
        await DB.execute("UPDATE users SET locale = ? WHERE id = ?", (language, user_id))
        async with await desk.house.browser(user_id) as browser:
            for path in PATHS:
                area, rest = (
                    ("/admin/tickets", path[6:]) if path[:6] == "/admin" else ("/tickets", path)
                )
                answer = await browser.get(area + rest.format(ticket=ticket.id))
                assert answer.status_code == 200, path
                assert f'<html lang="{language}"' in answer.text, path
                lines = Page("http://x/", answer.content).lines
                if language == "en":
                    english[path] = lines
                else:
                    assert left_over(lines, language) == [], (language, path)
                    assert len(lines) >= 0.9 * len(english[path]), path
    for path, lines in english.items():  # the control: each page has such sentences
        assert left_over(lines, "de"), path


def left_over(lines: list[str], language: str) -> list[str]:
    """The lines that are an English message although the language has another word for it."""
    told = {
        str(message.id): str(message.string)
        for message in catalogs.read(language)
        if isinstance(message.id, str) and message.id and "%(" not in message.id
    }
    return [line for line in lines if line not in DRIVERS and told.get(line, line) != line]


async def test_days_are_counted_in_the_plural_of_the_language(desk: Desk) -> None:
    user_id = await desk.student()
    await desk.run(user_id)
    await DB.execute("UPDATE users SET locale = 'ru' WHERE id = ?", (user_id,))
    shown = {}
    async with await desk.house.browser(user_id) as browser:
        for days in (1, 3, 5):
            await DB.execute(
                "UPDATE tickets SET valid_to = date(?, ?)",
                (library.today().isoformat(), f"+{days} days"),
            )
            found = re.search(rf"{days} (д\w+)", (await browser.get("/tickets")).text)
            assert found
            shown[days] = found[1]
    assert shown == {1: "день", 3: "дня", 5: "дней"}
