"""Talks to Samsung's servers: version lists, what can be fetched, permission to fetch it.

Control calls only; the bytes themselves are `pipeline`'s. Every fault comes out as Upstream.
"""

import asyncio
import secrets
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx
import msgspec

from app.core import outbound
from app.core.errors import Upstream
from app.firmware import answers, keys, protocol
from app.firmware.answers import Binary, Listed
from app.firmware.outcomes import Fault
from app.firmware.protocol import KeysChanged, Token

LIMIT = 4 * 1024 * 1024
LISTS_AT_ONCE = 2


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Where the servers are and how to speak with them."""

    fota_url: str
    fus_url: str
    cloud_url: str
    protocol: str = "smart"
    smart_key: str = keys.SMART_KEY
    kies_keys: tuple[str, ...] = keys.KIES_KEYS

    def places(self) -> tuple[str, ...]:
        """`host:port` of the three addresses: an admin entered them, so they may be private."""
        return tuple(
            f"{url.hostname}:{url.port or {'https': 443}.get(url.scheme, 80)}"
            for url in map(urlsplit, (self.fota_url, self.fus_url, self.cloud_url))
        )


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask for. `imei` is sent by kies only."""

    model: str
    csc: str
    version: str
    imei: str = ""


class Client:
    """One job's talk with the servers: one cookie jar, one nonce at a time."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.paths = protocol.PATHS[profile.protocol]
        self.generation = 0
        self._token = Token("", "", "")
        self._wish: tuple[str, str, str, str] | None = None
        self._lock = asyncio.Lock()
        self._http = outbound.client(
            "firmware",
            allow=profile.places(),
            limit_bytes=LIMIT,
            headers={"User-Agent": protocol.CLOUD_AGENTS[profile.protocol]},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def list_fota(self, model: str, csc: str) -> list[Listed]:
        """The newest version and those before it, from the public update list."""
        url = self.profile.fota_url.format(model=model, csc=csc)
        with _named():
            response = await self._http.get(url, headers={"User-Agent": "Kies2.0_FUS"})
        if response.status_code == 403 and b"AccessDenied" in response.content[:2000]:
            raise Fault("unknown_device", fus="403")
        _check_http(response)
        return answers.parse_fota(response.content)

    async def list_history(self, model: str, csc: str) -> list[Listed]:
        """Every version with its date, betas and announced ones marked."""
        sent = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(16))
        head = {
            "Authorization": protocol.history_authorization(sent, model),
            "User-Agent": protocol.CLOUD_AGENTS["smart"],
        }
        body = protocol.history_body(model, csc)
        response = await self._send(protocol.HISTORY, body, head)
        return answers.parse_history(response.content)

    async def inform(self, wish: Wish) -> Binary:
        """What the server offers for a version; one new nonce and try after a 401."""
        if self.profile.protocol == "kies" and not wish.imei:
            raise Fault("imei_needed")

        async def ask() -> Binary:
            nonce = self._token.nonce
            if self.profile.protocol == "smart":
                body = protocol.smart_inform(wish.model, wish.csc, wish.version, nonce)
            else:
                body = protocol.kies_inform(wish.model, wish.csc, wish.version, nonce, wish.imei)
            response = await self._control(self.paths.inform, body)
            asked = (wish.model, wish.csc, wish.version)
            return answers.parse_inform(response.content, self.profile.protocol, asked)

        if not self._token.nonce:
            await self.nonce()
        try:
            return await ask()
        except Fault as fault:
            if fault.code != "fus_401":
                raise
        await self.nonce()
        return await ask()

    async def init(self, filename: str, version: str, csc: str, model_type: str) -> None:
        """Announce the fetch of one file: the present nonce then opens the byte server."""
        self._wish = (filename, version, csc, model_type)
        if not self._token.nonce:
            await self.nonce()
        try:
            await self._init()
        except Fault as fault:
            if fault.code != "fus_401":
                raise
            await self.nonce()
            await self._init()

    async def renew(self, generation: int) -> None:
        """A new nonce and init for all connections; once, however many ask for it."""
        async with self._lock:
            if self.generation != generation:
                return
            await self.nonce()
            await self._init()
            self.generation += 1

    async def nonce(self) -> None:
        """Ask for a nonce. Fault keys_changed where no known key reads it."""
        head = {"Authorization": protocol.authorization("", "")}
        response = await self._send(self.paths.nonce, b"", head)
        if not response.headers.get("NONCE"):
            raise Fault("unreadable", "no nonce in the answer")
        self._take(response)

    def cloud_head(self) -> dict[str, str]:
        """The headers of a request for bytes: here the nonce goes as it was received."""
        return {
            "Authorization": protocol.authorization(self._token.header, self._token.signature),
            "User-Agent": protocol.CLOUD_AGENTS[self.profile.protocol],
        }

    def cloud_target(self, path: str, filename: str) -> str:
        """The address of a file. Not percent-encoded: the server answers 405 to %2F."""
        return f"{self.profile.cloud_url.rstrip('/')}/{self.paths.cloud}?file={path}{filename}"

    async def _init(self) -> None:
        if self._wish is None:
            raise RuntimeError("nothing was announced")
        smart = self.profile.protocol == "smart"
        body = (protocol.smart_init if smart else protocol.kies_init)(
            *self._wish, self._token.nonce
        )
        response = await self._control(self.paths.init, body)
        answers.check_answer(response.content)

    async def _control(self, path: str, body: bytes) -> httpx.Response:
        sent = self._token.nonce if self.profile.protocol == "smart" else ""
        head = {"Authorization": protocol.authorization(sent, self._token.signature)}
        return await self._send(path, body, head)

    async def _send(self, path: str, body: bytes, head: dict[str, str]) -> httpx.Response:
        url = f"{self.profile.fus_url.rstrip('/')}/{path}"
        with _named():
            response = await self._http.post(url, content=body, headers=head)
        if response.headers.get("NONCE") and path != protocol.HISTORY:
            self._take(response)
        _check_http(response)
        return response

    def _take(self, response: httpx.Response) -> None:
        header = response.headers["NONCE"]
        try:
            if self.profile.protocol == "smart":
                self._token = protocol.smart_token(header, self.profile.smart_key)
            else:
                self._token = protocol.kies_token(header, self.profile.kies_keys)
        except KeysChanged as error:
            raise Fault("keys_changed") from error


@contextmanager
def _named() -> Iterator[None]:
    """A fault of the network by the name the query log has for it."""
    try:
        with outbound.faults("Samsung"):
            yield
    except Upstream as error:
        if error.code in ("too_large", "forbidden_host"):
            raise
        raise Fault("network", error.message) from error


async def list_versions(profile: Profile, model: str, csc: str) -> tuple[list[Listed], str]:
    """History if there is one, else the update list; and which of the two it was."""
    async with Client(profile) as client:
        try:
            found = await client.list_history(model, csc)
        except Upstream as error:
            if error.code in ("throttled", "blocked", "forbidden_host"):
                raise
            found = []
        if found:
            return found, "history"
        return await client.list_fota(model, csc), "fota"


def newest(listed: Sequence[Listed]) -> Listed | None:
    """The newest released version: no beta, nothing that is only announced."""
    released = [each for each in listed if each.kind == "stable"]
    return max(released, key=lambda each: each.sequence or 0) if released else None


def _check_http(response: httpx.Response) -> None:
    status = response.status_code
    if status in (429, 503):
        wait = response.headers.get("Retry-After", "")
        after = float(wait) if wait.isdecimal() and len(wait) < 6 else None
        raise Fault("throttled", fus=str(status), after_s=after)
    if status >= 500:
        raise Fault("network", f"Samsung answered {status}", fus=str(status))
    kind = response.headers.get("Content-Type", "")
    if status == 403 or "html" in kind or response.content[:60].lstrip()[:5].lower() == b"<html":
        raise Fault("blocked", fus=str(status))
    if status == 401:
        raise Fault("fus_401", fus="401")
    if status == 405:
        raise Fault("fus_405", fus="405")
    if status != 200:
        raise Fault("fus_other", f"Samsung answered {status}", fus=str(status))
