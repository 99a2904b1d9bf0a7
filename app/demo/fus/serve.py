"""Starts the stand-in: inside the running event loop, or as a process of its own."""

import asyncio
import json
import secrets
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from app.demo.fus import control
from app.demo.fus.application import FusApp
from app.demo.fus.archive import Facts
from app.demo.fus.scenario import Params
from app.demo.fus.shelf import Shelf
from app.demo.fus.state import State
from app.demo.fus.wire import Server

HOST = "127.0.0.1"
SIZE = 2 * 1024 * 1024


@dataclass(frozen=True)
class Fus:
    """A running stand-in. The methods do in-process what the control plane does by HTTP."""

    state: State
    url: str
    control_token: str

    @property
    def profile(self) -> dict[str, str]:
        """The three addresses as a protocol profile names them."""
        return profile(self.url)

    def scenario(self, name: str, /, *, times: int | None = None, **params: Any) -> None:
        """Put a scenario in force; raises ValueError for one that is not in the table."""
        bent = msgspec.convert(params, Params)
        control.put(self.state, control.ScenarioOrder(name, times, bent))

    async def file(self, model: str, version: str = "", csc: str = "", nature: int = 1) -> Facts:
        """The facts of a good file (the newest build, without a version), baked when needed."""
        return await control.bake(self.state, control.FileOrder(model, version, csc, nature))

    def path(self, facts: Facts) -> Path:
        """The encrypted file on disk."""
        return self.state.shelf.path(facts.recipe)

    def log(self) -> list[dict[str, Any]]:
        """Everything that happened, oldest first; lines of kind `bytes` say what was sent."""
        return [dict(line) for line in self.state.log]

    def stats(self) -> dict[str, Any]:
        """Requests per path; per file the bytes sent in all, once, and again."""
        return self.state.stats()

    def reset(self) -> None:
        """As just started; files already baked are kept."""
        self.state.reset()


def profile(url: str) -> dict[str, str]:
    """fota_url, fus_url and cloud_url of a stand-in at `url`."""
    return {
        "fota_url": f"{url}/firmware/{{csc}}/{{model}}/version.xml",
        "fus_url": f"{url}/",
        "cloud_url": f"{url}/",
    }


@asynccontextmanager
async def running_fus(
    *,
    port: int = 0,
    token: str = "",
    folder: Path | None = None,
    size: int = SIZE,
    rate: int = 0,
    generation: int = 2,
    token_ttl_s: float = 3600,
    certificate: tuple[Path, Path] | None = None,
) -> AsyncIterator[Fus]:
    """The stand-in on a free loopback port (or the named one), gone again at the end.

    `size` is what a firmware's members weigh together, in bytes; files are baked when first asked
    for and kept in `folder`. `rate` (bytes a second and connection) slows all downloads, 0 not.
    `generation` is the kies key pair it begins with. `certificate` (PEM files of certificate and
    key) turns http into https.
    """
    shelf = await asyncio.to_thread(Shelf, folder)
    state = State(shelf, token or secrets.token_urlsafe(24), size, generation, token_ttl_s, rate)
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    server = Server(FusApp(state))
    try:
        number = await server.start(HOST, port, tls)
        yield Fus(state, f"{'https' if tls else 'http'}://{HOST}:{number}", state.control_token)
    finally:
        state.closing.set()
        await server.close()
        await asyncio.to_thread(shelf.close)


@dataclass(frozen=True)
class FusProcess:
    """A stand-in in a process of its own: its address, its token, its process."""

    url: str
    control_token: str
    process: asyncio.subprocess.Process

    @property
    def profile(self) -> dict[str, str]:
        """The three addresses as a protocol profile names them."""
        return profile(self.url)


@asynccontextmanager
async def running_fus_process(*options: str) -> AsyncIterator[FusProcess]:
    """`python -m app.demo.fus` with these options, so that no bench shares its interpreter."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.demo.fus", *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        if process.stdout is None:
            raise RuntimeError("no line to the stand-in")
        ready = json.loads(await process.stdout.readline())
        yield FusProcess(ready["url"], ready["control_token"], process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
