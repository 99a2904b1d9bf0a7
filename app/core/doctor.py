"""What `holdfast doctor` looks at without a database: folder, modes, settings, the redactor.

A check says what it saw and, where something is wrong, what to do about it. It changes nothing
unless it is asked to mend, and then only modes of our own files.
"""

import os
import stat
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from app.core import logs, settings
from app.core.i18n import _, mark
from app.core.registry import UNIX
from app.core.ring import RING_FILE
from app.core.settings import Settings

State = Literal["ok", "warn", "bad"]

# What a finding is about. A name stays as it is, for programs; whoever shows it translates it.
NAMES = (
    mark("accounts"),
    mark("audit log"),
    mark("backups"),
    mark("clock"),
    mark("data folder"),
    mark("events"),
    mark("file system"),
    mark("foreign keys"),
    mark("free inodes"),
    mark("free space"),
    mark("from outside"),
    mark("host names"),
    mark("integrity"),
    mark("jobs"),
    mark("key ring"),
    mark("log redaction"),
    mark("password hashing"),
    mark("proxies"),
    mark("public address"),
    mark("schema"),
    mark("stored secrets"),
    mark("write-ahead log"),
)

# A secret each of the forms the redactor must know, in the clothes in which they turn up.
_CANARIES = (
    "hf_Ab3dEf7h_" + "Zx9-" * 10 + "Zx9Ab3dE7",
    "hf1.01890000-0000-7000-8000-000000000000.QUJDREVGRw",
    "Authorization: Bearer abcdef0123456789",
    "Authorization: Basic amFuYTpnZWhlaW0=",
    "Cookie: holdfast=Zx9Ab3dE7hJk1mNp",
    "https://jana:geheim-7431@cloud.example/",
    "/x?token=geheim-7431&q=1",
    '{"password": "geheim-7431"}',
    "/join/" + "Zx9-" * 10 + "Zx9",
    "sk-geheim-7431-0123",
)
_NAMES_SOMEBODY = frozenset({"admin_login", "tickets.base_number"})
_TELLING = ("geheim", "Zx9", "abcdef0123456789", "amFuYTpn", "QUJDREVG")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report, in the reader's language but for `name`, which is one of `NAMES`.

    `hint`: what to do, for whoever runs the server.
    """

    name: str
    state: State
    text: str
    hint: str = ""


def look(chosen: Settings, *, mend: bool = False) -> Iterator[Finding]:
    """Every check that needs no database."""
    yield from _modes(chosen, mend=mend)
    yield from _address(chosen)
    yield _proxies(chosen)
    yield _redactor()


def _modes(chosen: Settings, *, mend: bool) -> Iterator[Finding]:
    folder = chosen.data_dir
    if not folder.is_dir():
        yield Finding(
            name="data folder",
            state="bad",
            text=_("%(path)s is not there", path=folder),
            hint=_("name the right one with --data or HOLDFAST_DATA_DIR"),
        )
        return
    wanted = {folder: 0o700}
    for name in ("backups", "files", "tmp", "workers", "job-logs"):
        wanted[folder / name] = 0o700
    names = (chosen.db_file.name, f"{chosen.db_file.name}-wal", f"{chosen.db_file.name}-shm")
    for name in (*names, RING_FILE, "setup-token", "holdfast.lock"):
        wanted[folder / name] = 0o600
    open_ones = []
    for path, mode in wanted.items():
        if not path.exists():
            continue
        seen = path.lstat()
        if seen.st_uid != os.getuid():
            yield Finding(
                name="data folder",
                state="bad",
                text=_(
                    "%(file)s belongs to another user (uid %(uid)s)",
                    file=path.name,
                    uid=seen.st_uid,
                ),
                hint=_(
                    "run as that user, or: %(command)s", command=f"chown -R {os.getuid()} {folder}"
                ),
            )
        elif stat.S_IMODE(seen.st_mode) & ~mode:
            open_ones.append((path, mode))
    if not open_ones:
        yield Finding(
            name="data folder", state="ok", text=_("%(path)s, open to nobody else", path=folder)
        )
    for path, mode in open_ones:
        if mend:
            path.chmod(mode)
            yield Finding(
                name="data folder", state="ok", text=_("%(file)s: mode mended", file=path.name)
            )
        else:
            yield Finding(
                name="data folder",
                state="bad",
                text=_("%(file)s can be read by others", file=path.name),
                hint=_("%(command)s, or run doctor --fix", command=f"chmod {mode:o} {path}"),
            )


def _address(chosen: Settings) -> Iterator[Finding]:
    if not chosen.public_url:
        yield Finding(
            name="public address",
            state="warn",
            text=_("public_url is not set; links in mails and passkeys need it"),
            hint=_("set %(setting)s", setting="HOLDFAST_PUBLIC_URL=https://…"),
        )
    else:
        parts = urlsplit(chosen.public_url)
        secure = parts.scheme == "https" or parts.hostname == "localhost"
        yield Finding(
            name="public address",
            state="ok" if secure else "warn",
            text=_("%(address)s; cookies are named __Host-holdfast", address=chosen.public_url)
            if parts.scheme == "https"
            else _("%(address)s; cookies are sent in the clear", address=chosen.public_url),
            hint="" if secure else _("put a proxy with https in front; passkeys need it, too"),
        )
    listed = ", ".join(chosen.allowed_hosts)
    yield Finding(
        name="host names",
        state="ok" if listed else "warn",
        text=_("answered: %(names)s", names=listed) if listed else _("any name is answered"),
        hint=""
        if listed
        else _("set %(setting)s", setting="HOLDFAST_ALLOWED_HOSTS / HOLDFAST_PUBLIC_URL"),
    )


def _proxies(chosen: Settings) -> Finding:
    listed = chosen.trusted_proxies
    shown = ", ".join(listed) or _("nobody")
    networks = [ip_network(one) for one in listed if one != UNIX]
    if any(net.num_addresses > 2**24 for net in networks):
        return Finding(
            name="proxies",
            state="bad",
            text=_("believed: %(names)s; that is nearly everybody", names=shown),
            hint=_("name the address of your proxy alone: who is believed can pose as anyone"),
        )
    if any(net.is_loopback for net in networks):
        return Finding(
            name="proxies",
            state="warn",
            text=_("believed: %(names)s; every program of this machine is among them", names=shown),
            hint=_("let the proxy use the unix socket (HOLDFAST_UDS) and believe the word unix"),
        )
    return Finding(name="proxies", state="ok", text=_("believed: %(names)s", names=shown))


def _redactor() -> Finding:
    shown = [one for one in _CANARIES if any(word in logs.redact(one) for word in _TELLING)]
    return Finding(
        name="log redaction",
        state="bad" if shown else "ok",
        text=_("%(n)s of %(all)s forms of a secret get through", n=len(shown), all=len(_CANARIES))
        if shown
        else _("%(n)s forms of a secret are masked", n=len(_CANARIES)),
        hint=_("please report this as a hole") if shown else "",
    )


async def describe_settings() -> list[dict[str, str]]:
    """Each setting with its source; what is secret or names a person only as set or not."""
    rows = []
    for name, setting in sorted(settings.registry().items()):
        shown = await settings.show(name)
        value = str(shown.value)
        if setting.secret or name in _NAMES_SOMEBODY:
            value = "set" if shown.value else "not set"
        rows.append({"name": name, "value": logs.redact(value), "source": shown.source})
    return rows


def write_private(path: Path, data: bytes) -> None:
    """A new file for this user alone. FileExistsError where one is there."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
