"""The `serve` command: uvicorn as an object in our loop, so that streams end before it waits."""

import asyncio
import contextlib
import errno
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import apsw
import uvicorn
import uvloop

from app.asgi import App, create_app
from app.core import logs
from app.core.errors import AppError
from app.core.lock import AlreadyRunning
from app.core.logs import log
from app.core.ring import VaultError
from app.core.settings import BadSetting, Settings
from app.web.wire import Http
from db.migrate import MigrationError

AGAIN, CONFIG = 75, 78
KEEP_ALIVE_S = 10
STREAMS_S = 5
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Server(uvicorn.Server):
    """uvicorn that lets the program wind down before it stops listening.

    A first signal ends the streams and drains the worker while pages are still answered; a second
    gives running jobs back at once.
    """

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app
        self._winding: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours instead of uvicorn's, which would raise the signal again before we have closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self._winding is None:
            log.info("server.stopping")
            self._winding = asyncio.get_running_loop().create_task(self._wind_down())
        else:
            self._app.hurry()

    async def _wind_down(self) -> None:
        try:
            await self._app.drain()
        finally:
            self.should_exit = True


def serve(settings: Settings, env: Mapping[str, str]) -> int:
    """Serve until a signal; returns the exit status: 0, 75 (try again), 78 (configuration).

    `env` holds the master key, where it comes that way.
    """
    # A picture of this process would hold the master key and every secret opened lately.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    logs.setup(settings.log_format, settings.log_level)
    os.umask(0o077)  # whatever any library makes below the data folder is ours alone
    try:
        settings.outside.check()  # the domains have declared their keys only now
        app = create_app(settings, env)
        config = http_config(app)
        sockets = _listen(settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(app, Server(config, app), sockets))
    except AlreadyRunning as error:
        return _refuse(f"{settings.data_dir}: {error}", AGAIN)
    except (BadSetting, MigrationError, VaultError, AppError) as error:
        return _refuse(str(error), CONFIG)
    except apsw.Error as error:
        return _refuse(f"{settings.db_file}: {error}", CONFIG)
    except OSError as error:
        return _refuse(f"{error.filename or settings.data_dir}: {error.strerror}", CONFIG)
    return 0


def http_config(app: Any) -> uvicorn.Config:
    """How pages are served; the benchmark's peer is served the same way."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=Http,
        ws="none",  # nothing here speaks it: an upgrade is an ordinary request
        lifespan="off",
        proxy_headers=False,  # app/web/headers.py does both
        server_header=False,
        date_header=True,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STREAMS_S,
    )


async def _serve(app: App, server: Server, sockets: list[socket.socket]) -> None:
    try:
        async with app.litestar.lifespan():
            for place in sockets:
                log.info("server.listening", at=_address(place))
            _settle()
            await server.serve(sockets=sockets)
    except BaseExceptionGroup as group:
        raise _single(group) from None


def _settle() -> None:
    """Take what was made at the start, and stays, out of the garbage collector's sight.

    Else it walks through all of it every few seconds under load, 100 ms in which nothing else runs.
    """
    gc.collect()
    gc.freeze()


def _single(error: BaseException) -> BaseException:
    """What went wrong at the start: Litestar's lifespan wraps it in groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _listen(settings: Settings) -> list[socket.socket]:
    """The open sockets: both loopback addresses for `localhost`. OSError where a port is taken."""
    if settings.uds:
        settings.uds.unlink(missing_ok=True)
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix.bind(str(settings.uds))
        settings.uds.chmod(0o660)  # a proxy in our group may come in
        return [unix]
    # localhost is both loopback addresses, whatever /etc/hosts says of it.
    names = ("127.0.0.1", "::1") if settings.host == "localhost" else (settings.host,)
    sockets: list[socket.socket] = []
    for name in names:
        port = (
            sockets[0].getsockname()[1] if sockets else settings.port
        )  # port 0: the same for both
        try:
            sockets.append(_bound(name, port))
        except OSError as error:
            if sockets and error.errno in _NO_IPV6:
                continue
            raise OSError(error.errno, error.strerror, f"{name} port {port}") from error
    return sockets


def _bound(name: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            place.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        place.bind(address)
    except OSError:
        place.close()
        raise
    return place


def _address(place: socket.socket) -> str:
    if place.family == socket.AF_UNIX:
        return str(place.getsockname())
    host, port = place.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refuse(line: str, status: int) -> int:
    print(line, file=sys.stderr)  # noqa: T201 - the program's own answer, one line
    return status
