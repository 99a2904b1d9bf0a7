"""Contestants that serve a finished file: the program's own file answer, and nginx beside it."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUFFER = 1024 * 1024
NGINX = """%(user)s
worker_processes 1; daemon off; error_log stderr crit; pid %(folder)s/pid;
events { worker_connections 64; }
http {
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p; fastcgi_temp_path %(folder)s/f;
  uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
  server { listen 127.0.0.1:%(port)d; root %(root)s; }
}
"""


def nginx_path() -> str | None:
    """Debian's nginx, which lies outside of most people's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def read_all(port: int, name: str) -> float:
    """One GET on one connection into one buffer; bytes a second."""
    began = time.perf_counter()
    count, buffer = 0, bytearray(BUFFER)
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(f"GET /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while got := peer.recv_into(buffer):
            count += got
    if count < BUFFER:
        raise RuntimeError(f"{name} was not sent")
    return count / (time.perf_counter() - began)


def ours(path: Path) -> dict[str, Callable[[], float]]:
    """What the program's file page hands to its server, on the program's server."""
    import threading

    import uvicorn

    from app.firmware.pages.files import SendFile
    from app.server import http_config

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await SendFile(path, '"x"', path.name, 1)(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    config = http_config(answer)
    config.lifespan = "off"
    server = uvicorn.Server(config)
    loop_factory = config.get_loop_factory()

    def serve() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(server.serve([listener]))

    threading.Thread(target=serve, daemon=True).start()
    return {"port": lambda: float(listener.getsockname()[1])}


@contextmanager
def nginx(root: Path) -> Iterator[int]:
    """Nginx with one worker on a free port, serving a folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "nginx.conf"
        # its workers would be nobody, who may not read the folder
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(NGINX % {"user": user, "folder": folder, "port": port, "root": root})
        command = [str(nginx_path()), "-c", str(config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:  # noqa: S603
            try:
                _await(port)
                yield port
            finally:
                process.terminate()


def _await(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("nginx does not listen")
