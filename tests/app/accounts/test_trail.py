"""The audit page: what it finds, what it gives out, and that it notices what was changed."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import httpx
import pytest

from app.core import audit
from app.core.sheets import cell
from db.engine import DB
from tests.app.house import House, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(database: Path) -> AsyncIterator[House]:
    async with running(database) as opened:
        yield opened


@pytest.fixture
async def boss(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with await house.browser(await house.person("boss", role="admin")) as client:
        yield client


async def some(house: House) -> str:
    bea = await house.person("bea")
    await audit.record("session.started", actor_id=bea, ip="192.0.2.7")
    await audit.record("session.refused", actor_id=None, ip="198.51.100.9")
    await audit.record(
        "setting.changed", actor_id=bea, detail={"note": "=cmd|'/c calc'!A1", "b": "<script>"}
    )
    return bea


@pytest.mark.feature("X-16")
async def test_lines_are_filtered_exported_and_their_chain_is_walked(
    house: House, boss: httpx.AsyncClient, database: Path
) -> None:
    await some(house)
    assert "session.refused" in (await boss.get("/admin/audit")).text
    mine = (await boss.get("/admin/audit?who=bea&what=session")).text
    rows = mine[mine.index("<tbody>") :]
    assert "session.started" in rows
    assert "session.refused" not in rows
    assert "setting.changed" not in rows
    assert "chain is whole" in (await boss.get("/admin/audit?check=1")).text

    given = await boss.post("/admin/audit/export", data={"form": "csv", "who": "bea"})
    assert "attachment" in given.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(given.text)))
    assert {line["actor"] for line in lines} == {"bea"}
    told = await boss.post("/admin/audit/export", data={"form": "json"})
    assert json.loads(told.text)[0]["action"] == "audit.exported", "the export is a line itself"
    assert (await boss.post("/admin/audit/export", data={"form": "exe"})).status_code == 422

    # By another program that holds the file: no trigger of ours stands in its way.
    victim = await DB.value("SELECT id FROM audit_log WHERE action = 'session.refused'")
    connection = apsw.Connection(str(database))
    connection.execute("DROP TRIGGER audit_log_no_update").fetchall()
    connection.execute("UPDATE audit_log SET ip = '' WHERE id = ?", (victim,)).fetchall()
    connection.close()
    checked = (await boss.get("/admin/audit?check=1")).text
    assert re.search(rf"broken at line {victim}\b", checked)


async def test_a_wrong_day_is_said_and_an_odd_filter_finds_nothing(
    house: House, boss: httpx.AsyncClient
) -> None:
    await some(house)
    assert (await boss.get("/admin/audit?since=yesterday")).status_code == 422
    for odd in (
        "who='; DROP TABLE users;--",
        "what=%25",
        "ip=x",
        "at=-3",
        "upto=x",
        "sort=who",
        "until=2020-01-01",
    ):
        answer = await boss.get(f"/admin/audit?{odd}")
        assert answer.status_code == 200, odd
    assert await DB.value("SELECT count(*) FROM users") == 2


def test_a_cell_is_shown_and_not_computed() -> None:
    for text in ("=1+1", "+1", "-1", "@x", "\tx", "\rx"):
        assert cell(text) == f"'{text}"
    assert cell("plain") == "plain"
