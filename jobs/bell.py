"""How another process tells the worker that it asked for something: one byte, best effort.

Without it the worker notices within half a second, by SQLite's own change counter.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path


def path_of(data_dir: Path) -> Path:
    """Where the socket is."""
    return data_dir / "queue.sock"


def ring(data_dir: Path) -> None:
    """Wake the worker of this data folder, if one listens. Call it after the commit."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.setblocking(False)
        bell.sendto(b"!", str(path_of(data_dir)))


async def listen(data_dir: Path, wake: Callable[[], None]) -> asyncio.DatagramTransport | None:
    """Call `wake` for each byte; None where the path is too long for a socket."""
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        path_of(data_dir).unlink(missing_ok=True)
        bell.bind(str(path_of(data_dir)))
        path_of(data_dir).chmod(0o600)
    except OSError:
        bell.close()
        return None
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(wake), sock=bell)
    return transport


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        self._wake()
