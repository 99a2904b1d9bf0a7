"""Starts the stand-in on real loopback sockets, inside the running event loop."""

import errno
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from app.demo.portal import control
from app.demo.portal.application import PortalApp
from app.demo.portal.state import Addresses, State

SP_HOST = "127.0.0.1"
IDP_HOST = "localhost"
TRAP_HOST = "127.0.0.2"


@dataclass(frozen=True)
class Portal:
    """A running stand-in. The methods do in-process what the control plane does by HTTP."""

    app: PortalApp
    state: State
    sp_url: str
    idp_url: str
    idp_host: str
    trap_url: str
    control_token: str

    def scenario(
        self, name: str, *, user: str | None = None, times: int | None = None, **params: Any
    ) -> None:
        """Put a scenario in force; raises ValueError for one that is not in the table."""
        order = control.ScenarioOrder(name, user, times, params)
        control.set_scenario(self.state, order)

    def set_clock(self, now: datetime | None) -> None:
        """Move the portal's clock (aware time); None brings the real time back."""
        control.set_clock(self.state, now)

    def log(self) -> list[dict[str, Any]]:
        """Everything that happened, oldest first."""
        return list(self.state.log)

    def stats(self) -> dict[str, Any]:
        """Counts and peaks."""
        return self.state.stats()

    def reset(self) -> None:
        """A fresh portal on the same ports."""
        self.app.reset()


class _QuietServer(uvicorn.Server):
    """Started and stopped by hand: the signals belong to the program around it."""

    async def begin(self, sockets: list[socket.socket]) -> None:
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=sockets)


@asynccontextmanager
async def running_portal(
    slow_s: float = 0,
    *,
    sp_port: int = 0,
    idp_port: int = 0,
    token: str = "",
    certificate: tuple[Path, Path] | None = None,
) -> AsyncIterator[Portal]:
    """The stand-in on free loopback ports (or the named ones), gone again at the end.

    `slow_s` delays every answer but the control plane's. `certificate` (PEM files of certificate
    and key) turns http into https on all ports.
    """
    sp = _listen(SP_HOST, sp_port)
    idp = _listen_localhost(idp_port)
    trap = _listen_trap(sp.getsockname()[1])
    scheme = "https" if certificate else "http"
    addresses = Addresses(
        f"{scheme}://{SP_HOST}:{sp.getsockname()[1]}",
        f"{scheme}://{IDP_HOST}:{idp[0].getsockname()[1]}",
        f"{scheme}://{TRAP_HOST}:{sp.getsockname()[1]}",
    )
    state = State(token or secrets.token_urlsafe(24), slow_s, addresses)
    app = PortalApp(state)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate[0] if certificate else None,
        ssl_keyfile=certificate[1] if certificate else None,
    )
    server = _QuietServer(config)
    sockets = [sp, *idp, *trap]
    await server.begin(sockets)
    try:
        yield Portal(
            app,
            state,
            addresses.sp_url,
            addresses.idp_url,
            urlsplit(addresses.idp_url).netloc,
            addresses.trap_url,
            state.control_token,
        )
    finally:
        state.closing.set()
        await server.shutdown(sockets=sockets)


def _listen(host: str, port: int, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    # asyncio turns Nagle's delay (40 ms an answer) off only where the protocol is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _listen_localhost(port: int) -> list[socket.socket]:
    """`localhost` in both address families, because clients may try either first."""
    while True:
        four = _listen("127.0.0.1", port)
        try:
            return [four, _listen("::1", four.getsockname()[1], socket.AF_INET6)]
        except OSError as error:
            # a free IPv4 port may be taken in IPv6: try another; without IPv6 one family must do
            if error.errno != errno.EADDRINUSE or port:
                return [four]
            four.close()


def _listen_trap(port: int) -> list[socket.socket]:
    """A second loopback address; where there is only one, nothing answers at the trap."""
    try:
        return [_listen(TRAP_HOST, port)]
    except OSError:
        return []
