"""Stopping a process, so that it wakes up late."""

import asyncio
import signal
from pathlib import Path

import apsw


async def freeze(process: asyncio.subprocess.Process, database: Path) -> None:
    """Stop a process at a moment when it does not hold the write lock: nobody could write."""
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(200)
    while True:
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.02)
        try:
            connection.execute("BEGIN IMMEDIATE; ROLLBACK")
            break
        except apsw.BusyError:
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.05)
    connection.close()
