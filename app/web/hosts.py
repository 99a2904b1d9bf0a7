"""Whom a request names: only hosts that are ours are answered.

Without a list every host is, and nothing is built from it but links that the asker sees.
"""

import re
from collections.abc import Iterable
from typing import Final

from app.core.logs import log
from app.web.headers import App, Receive, Scope, Send
from app.web.links import inner_path

# Supervisors and proxies ask these by address.
ANYWHERE: Final = ("/healthz", "/readyz")
# Names, addresses and their port; what is none of them cannot be taken apart by anybody below.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?")
LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")


class Hosts:
    """Answers 400 to a `Host` that is not on the list, missing or there twice.

    The machine's own names count as ours where the list is not empty, so that who runs the server
    is never locked out by a wrong setting; a `*.` in front stands for any name below.
    """

    def __init__(self, app: App, allowed: Iterable[str] = ()) -> None:
        self._app = app
        self._exact = {name.lower() for name in allowed if not name.startswith("*.")}
        self._below = tuple(name[1:].lower() for name in allowed if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or self._is_ours(scope):
            await self._app(scope, receive, send)
            return
        log.warning("host.refused", method=scope["method"])
        body = b"This server is not known by that name."
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _is_ours(self, scope: Scope) -> bool:
        sent = [value for name, value in scope["headers"] if name == b"host"]
        if len(sent) > 1 or not all(_is_host(value.decode("latin-1")) for value in sent):
            return False
        if not (self._exact or self._below) or inner_path(scope) in ANYWHERE:
            return True
        host = _name(sent[0].decode("latin-1")) if sent else ""
        return host in self._exact or host in LOCAL or host.endswith(self._below or ("\0",))


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text.strip())
    return found is not None and int(found[1] or 0) < 65536


def _name(host: str) -> str:
    """The host without its port, as it is compared."""
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].rstrip(".")
