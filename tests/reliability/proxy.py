"""A real proxy before the real server: Debian's Caddy, on a socket in a folder of the test."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.serving import PATIENCE_S, Server, clean_environment, until
from tests.system import program

CADDYFILE = """
{{
	admin off
	auto_https off
}}
http:// {{
	bind unix/{socket}
	log {{
		output file {log}
		format json
	}}
	reverse_proxy 127.0.0.1:{port}
}}
"""


class Proxy(NamedTuple):
    """Where it listens, and what it believes to have passed on."""

    place: Path
    log: Path

    def passed(self) -> list[tuple[str, str]]:
        """Method and path of each request that it saw, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        asked = [json.loads(line)["request"] for line in lines]
        return [(one["method"], one["uri"].partition("?")[0]) for one in asked]


@contextmanager
def fronted(server: Server, folder: Path) -> Iterator[Proxy]:
    """Caddy before `server` while the block runs."""
    proxy = Proxy(folder / "front.sock", folder / "front.log")
    config = folder / "Caddyfile"
    port = server.url.rpartition(":")[2]
    config.write_text(CADDYFILE.format(socket=proxy.place, log=proxy.log, port=port))
    command = [str(program("caddy")), "run", "--config", str(config), "--adapter", "caddyfile"]
    said = folder / "caddy.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            command,
            env=clean_environment(XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: _listens(proxy.place, process, said), "Caddy to listen")
        yield proxy
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _listens(place: Path, process: "subprocess.Popen[bytes]", said: Path) -> bool:
    assert process.poll() is None, said.read_text()
    with socket.socket(socket.AF_UNIX) as line:
        return line.connect_ex(str(place)) == 0
