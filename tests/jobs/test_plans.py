"""Every statement of the worker's round goes by an index of live rows, never by all there are."""

import apsw
import pytest

from db.connection import fetch
from db.engine import DB, ApswEngine
from jobs import claim, history, insert, schedule, stats, turn, upkeep, why

pytestmark = pytest.mark.anyio

LIVE = {
    "running by type": turn._RUNNING,
    "running by type, for people": why._RUNNING,
    "mine": turn._MINE,
    "next due": turn._NEXT_DUE,
    "claim": claim.CLAIM,
    "complete": claim.COMPLETE,
    "fail": claim.FAIL,
    "put back": claim.PUT_BACK,
    "expired leases": claim.EXPIRED_LEASES,
    "queued": stats._QUEUED,
    "running": stats._RUNNING,
    "serial backlog": insert._BACKLOG,
    "holder of a key": insert._HOLDER,
    "still live": schedule._LIVE,
    "new jobs": history._NEW_JOBS,
    **{f"old {state}": sql for state, sql in upkeep._OLD.items()},
}
SMALL = {"qj_ready", "qj_due", "qj_running", "qj_serial", "qj_dedupe", "qj_waiting"}


@pytest.mark.feature("Q-72")
@pytest.mark.parametrize("name", LIVE)
async def test_no_statement_walks_all_rows(db: ApswEngine, name: str) -> None:
    def explain(connection: apsw.Connection) -> list[str]:
        sql = LIVE[name]
        args = [0] * 10
        for count in range(10, -1, -1):
            try:
                rows = fetch(connection, f"EXPLAIN QUERY PLAN {sql}", args[:count])
            except apsw.BindingsError:
                continue
            return [row["detail"] for row in rows]
        raise AssertionError(name)

    for step in await DB.read(explain):
        if step.startswith(("SCAN queueJobs", "SCAN x ", "SCAN r ", "SCAN j ")):
            assert any(f"INDEX {index}" in step for index in SMALL), step
