"""Puts one file on a WebDAV server: what the first users did with a shell script."""

from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from app.core import outbound
from app.core.errors import Upstream
from app.core.secret import SecretStr

PURPOSE: Final = "tickets.webdav"
NAME: Final = "ticket.html"
TYPE: Final = "text/html; charset=utf-8"
_STORED: Final = frozenset({200, 201, 204})
_PLACE_MISSING: Final = frozenset({404, 409})
_REFUSED: Final = frozenset({401, 403})
_TIMEOUT_S: Final = 20.0


async def put(
    folder_url: str, login: tuple[str, SecretStr], data: bytes, *, allow: tuple[str, ...] = ()
) -> None:
    """Put `ticket.html` into a folder of a WebDAV server, making the folder once if it is missing.

    Raises Upstream: a refused login is permanent, everything else outside may be tried again.
    """
    url = f"{folder_url.rstrip('/')}/{quote(NAME)}"
    _check(url)
    async with _client(login, allow, _TIMEOUT_S) as http:
        with outbound.faults("WebDAV"):
            answer = await _put(http, url, data)
            if answer.status_code in _PLACE_MISSING:
                made = await http.request("MKCOL", f"{folder_url.rstrip('/')}/")
                _refuse(made)
                answer = await _put(http, url, data)
    _refuse(answer)
    if answer.status_code not in _STORED:
        status = answer.status_code
        retry = status >= 500 or status in {408, 423, 425, 429}
        raise Upstream(f"WebDAV answered {status}", retry=retry, code=f"http_{status}")


async def look(
    folder_url: str, login: tuple[str, SecretStr], limit_s: float, *, allow: tuple[str, ...] = ()
) -> int:
    """The status with which the server shows the folder to this login; nothing is changed there.

    Raises Upstream where no answer comes.
    """
    url = f"{folder_url.rstrip('/')}/"
    _check(url)
    async with _client(login, allow, limit_s, limit_s) as http:
        with outbound.faults("WebDAV"):
            async with http.stream("PROPFIND", url, headers={"Depth": "0"}) as answer:
                return answer.status_code


def _client(
    login: tuple[str, SecretStr],
    allow: tuple[str, ...],
    timeout_s: float,
    total_s: float | None = outbound.TOTAL_S,
) -> httpx.AsyncClient:
    name, password = login
    return outbound.client(
        PURPOSE,
        allow=allow,
        ports=outbound.USER_PORTS,
        timeout_s=timeout_s,
        total_s=total_s,
        auth=httpx.BasicAuth(name, password.reveal()),
    )


async def _put(http: httpx.AsyncClient, url: str, data: bytes) -> httpx.Response:
    return await http.put(url, content=data, headers={"Content-Type": TYPE})


def _refuse(answer: httpx.Response) -> None:
    if answer.status_code in _REFUSED:
        status = answer.status_code
        raise Upstream(f"WebDAV refused the login ({status})", retry=False, code=f"http_{status}")


def _check(url: str) -> None:
    """A password goes over https; plain http only between programs of one machine."""
    parts = urlsplit(url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise Upstream("WebDAV needs https", retry=False, code="forbidden_host")
