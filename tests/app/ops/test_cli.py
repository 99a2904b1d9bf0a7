"""`holdfast queue` as a process of its own, beside the program."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from app.accounts.payloads import Sweep
from db.engine import DB
from jobs.enqueue import enqueue
from jobs.stats import get, wait
from tests.app.house import House

pytestmark = pytest.mark.anyio


async def queue(folder: Path, *words: str, status: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "queue", *words, "--data", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == status, err.decode()
    return out.decode()


@pytest.mark.feature("Q-94")
async def test_the_terminal_works_beside_the_server(house_of: House, data_dir: Path) -> None:
    job_id = (await enqueue(Sweep(), delay_s=3600)).id
    listed: list[dict[str, Any]] = json.loads(await queue(data_dir, "list", "--json"))
    assert job_id in [row["id"] for row in listed]
    assert json.loads(await queue(data_dir, "show", job_id, "--json"))["row"]["id"] == job_id
    await queue(data_dir, "pause")
    assert await DB.value("SELECT paused FROM queueSettings") == 1
    await queue(data_dir, "resume")
    await queue(data_dir, "run", job_id)
    assert (await wait(job_id)).state == "succeeded"
    later = (await enqueue(Sweep(), delay_s=3600)).id
    await queue(data_dir, "cancel", later)
    row = await get(later)
    assert row is not None
    assert row.state == "cancelled"
    await queue(data_dir, "cancel", later, status=1)
    assert json.loads(await queue(data_dir, "stats", "--json"))["counts"]["cancelled"] == 1
    await queue(data_dir, "drain", status=1)  # the server does that
    kinds = await DB.all("SELECT DISTINCT actor_kind FROM audit_log WHERE action='job.cancelled'")
    assert kinds == [{"actor_kind": "cli"}]
