"""Is the process alive, and can it serve? For supervisors and proxies: names of failed checks."""

import asyncio
import shutil
from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.response import Stream

from app.core.stream_probe import events as stream_events
from db import clock
from db.engine import DB

PROBE_S = 1.0
PROBE_EVERY_S = 1.0  # strangers may ask as often as they like; the disk hears of it once a second
FREE_BYTES = 100 * 1024 * 1024
SILENT_MS = 30_000

Anybody = Request[Any, Any, Any]


@get("/healthz", name="healthz", opt={"access": "public"}, media_type=MediaType.TEXT)
async def healthz() -> str:
    """The event loop answers. Asks nothing of the database."""
    return "ok"


@get("/readyz", name="readyz", opt={"access": "public"})
async def readyz(request: Anybody) -> Response[str]:
    """A write goes through, worker and file are sound, the disk has room, nobody shuts down."""
    failed = [name for name, good in (await _checks(request)).items() if not good]
    return Response(
        "\n".join(failed) or "ok", status_code=503 if failed else 200, media_type=MediaType.TEXT
    )


async def _checks(request: Anybody) -> dict[str, bool]:
    state = request.app.state
    free = await asyncio.to_thread(shutil.disk_usage, state.settings.data_dir)
    return {
        "database": await _wrote(request.app.state),
        "worker": await _beats(state.worker.id),
        "file": not state.worker.corrupt,
        "disk": free.free > FREE_BYTES,
        "draining": not (state.worker.draining or state.worker.resting),
    }


async def _wrote(state: Any) -> bool:
    """What the last probe found; of all who ask within its second one makes it."""
    lock = state.setdefault("probe_lock", asyncio.Lock())
    async with lock:
        good, until = state.get("probed", (False, 0.0))
        if clock.monotonic() >= until:
            good = await _writes()
            state.probed = (good, clock.monotonic() + PROBE_EVERY_S)
    return bool(good)


async def _writes() -> bool:
    """Whether a commit reaches the disk in time; the row is the probe's own."""
    try:
        async with asyncio.timeout(PROBE_S):
            await DB.execute(
                "INSERT INTO vault_meta (key, value) VALUES ('probe', ?1)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (clock.text(),),
            )
    except Exception:
        return False
    return True


async def _beats(worker_id: str) -> bool:
    beat = await DB.value("SELECT heartbeatAt FROM queue_workers WHERE id = ?", (worker_id,))
    return beat is not None and clock.ms() - int(beat) < SILENT_MS


@get("/healthz/stream", name="stream_probe", opt={"access": "public"}, include_in_schema=False)
async def stream_probe() -> Stream:
    """Three events, so that the doctor sees whether a proxy lets them through one by one."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(stream_events(), media_type="text/event-stream", headers=headers)


ROUTES = [healthz, readyz, stream_probe]
