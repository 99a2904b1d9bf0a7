"""A damaged database file: no page is served from it, and the probe says so."""

import asyncio
from pathlib import Path

import apsw
import pytest

from db.engine import DB
from tests.app.house import House, running

pytestmark = pytest.mark.anyio


def damage(connection: apsw.Connection) -> None:
    """An index whose root lies behind the end of the file: what a torn file looks like."""
    connection.pragma("writable_schema", True)
    sql = "UPDATE sqlite_schema SET rootpage=1000000 WHERE name='qj_ready'"
    connection.execute(sql).fetchall()
    connection.execute("PRAGMA writable_schema=RESET").fetchall()


async def until_noticed(house: House) -> None:
    worker = house.app.litestar.state.worker
    worker.poke()
    async with asyncio.timeout(10):
        while not worker.corrupt:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_pages_close_while_the_file_is_damaged_and_the_probe_names_it(database: Path) -> None:
    async with (
        running(database) as house,
        await house.browser(await house.person("bea")) as client,
    ):
        assert (await client.get("/")).status_code == 200, "the control: open before"
        assert (await client.get("/readyz")).text == "ok"
        await DB.writer.look(damage)
        await until_noticed(house)
        for path in ("/", "/login", "/nowhere", "/jobs"):
            shut = await client.get(path)
            assert shut.status_code == 503, path
            assert "Closed for repair" in shut.text
            assert shut.headers["retry-after"] == "600"
            assert "bea" not in shut.text
        assert (await client.post("/logout")).status_code == 503
        program = await client.get("/api/v1/jobs")
        assert program.json()["title"] == "Closed for repair"
        part = await client.get("/", headers={"HX-Request": "true"})
        assert "</html>" not in part.text
        assert part.headers["hx-retarget"] == "#toasts"
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "file" in ready.text.split()
        assert (await client.get("/healthz")).status_code == 200
