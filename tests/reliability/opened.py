"""Which files are opened while hostile names and ids are asked for, as the interpreter tells it.

A process of its own, because nobody can take an audit hook away again:
`python -m tests.reliability.opened DATA_DIR SECRET_FILE` prints what was opened elsewhere.
"""

import asyncio
import io
import json
import mimetypes
import os
import re
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import apsw
import certifi

from app.accounts.service import tokens
from app.core import paths
from app.core.archive import BadArchive, unpack
from app.core.errors import NotFound
from app.core.files import inside, read_bytes
from db.engine import DB
from tests.app.house import running
from tests.app.matrix import DOORS, MISSING, OTHERS, SCOPES, Door, Town, may

# What looks into the file system and says where: the first argument of each is a place.
LOOKS = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.rmdir"}
LOOKS |= {"os.link", "os.symlink", "os.truncate", "os.chmod", "os.utime", "shutil.rmtree"}


class Watcher:
    """Notes each place that is opened, with what was being asked for, but for those of ours."""

    def __init__(self, homes: list[Path]) -> None:
        self._homes = [os.path.realpath(home) for home in homes]
        self.asking = ""
        self.count = 0
        self.elsewhere: set[tuple[str, str]] = set()

    def start(self) -> None:
        sys.addaudithook(self._heard)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in LOOKS or not self.asking or not isinstance(args[0], (str, bytes, Path)):
            return
        self.count += 1
        path = os.fsdecode(args[0])
        followed = event != "open" or not (args[2] or 0) & os.O_NOFOLLOW
        folder, name = os.path.split(Path.cwd() / path)
        real = os.path.realpath(path) if followed else f"{os.path.realpath(folder)}/{name}"
        if not any(real == home or real.startswith(f"{home}/") for home in self._homes):
            self.elsewhere.add((real, self.asking))


def homes(data_dir: Path) -> list[Path]:
    """Where a program may read: its own, the interpreter's, the system's tables."""
    given = sysconfig.get_paths()
    ours = [paths.TEMPLATES, paths.STATIC, paths.LOCALES, paths.ROOT / "app", paths.ROOT / "jobs"]
    system = ["/proc/self", "/sys/fs/cgroup", "/dev/urandom", "/dev/null", "/usr/share/zoneinfo"]
    words = [given["stdlib"], given["purelib"], given["platlib"], certifi.where(), *system]
    return [data_dir, *ours, paths.ROOT / "db", *map(Path, words)]


def hostile(secret: Path) -> list[str]:
    """Names that lead elsewhere, as they stand in an address (before it is decoded)."""
    up = "../" * 24
    there = f"{up}{str(secret)[1:]}"
    return [
        there,
        quote(there, safe=""),
        quote(quote(there, safe=""), safe=""),
        str(secret),
        quote(str(secret), safe=""),
        quote(f"x/{there}", safe=""),
        quote(there.replace("/", "\\"), safe=""),
        quote(there.replace("..", "．．"), safe=""),
        quote(f"{there}\0.txt", safe=""),
        f"%c0%ae%c0%ae/{up}etc/passwd",
        "..",
        "%2e%2e",
        "CON",
        "C%3A%5CWindows%5Cwin.ini",
        f"file%3A%2F%2F{secret}",
        "link%2Fsecret.txt",
        "a" * 4096,
    ]


async def knock(app: Any, method: str, raw: str, headers: dict[str, str], body: bytes = b"") -> str:
    """One request by hand: a client library would tidy its address first."""
    path, _, query = raw.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        "client": ("192.0.2.7", 50000),
        "server": ("localhost", 8040),
        "state": {},
    }
    answer = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.extend(b"%d " % message["status"])
        answer.extend(message.get("body", b""))

    await app(scope, receive, send)
    return answer.decode(errors="replace")


def addresses(door: Door, good: dict[str, str], bad: str) -> Iterator[str]:
    """The door's address with the name in each of its places in turn."""
    places = re.findall(r"\{(\w+)\}", door.path)
    for chosen in places:
        path = door.path
        for place in places:
            path = path.replace(f"{{{place}}}", bad if place == chosen else good[place])
        yield path


async def ask_everywhere(town: Town, watcher: Watcher, secret: Path) -> tuple[int, list[str]]:
    """Each door that takes a name or id, with each hostile one; how many, and who told."""
    keys = {}
    for actor in ("user", "admin"):
        keys[actor] = {"Cookie": f"holdfast={await town.house.session(town.people[actor])}"}
    scopes = [*SCOPES["token"], "firmware:read", "firmware:write"]
    made = await tokens.create_token(
        town.people["user"], name="x", scopes=scopes, possible=scopes, days=1
    )
    keys |= {"token": {"Authorization": f"Bearer {made.text}"}, "anonymous": {}}
    said, asked = secret.read_text(), 0
    told: list[str] = []

    async def ask(method: str, raw: str, headers: dict[str, str], body: bytes = b"") -> None:
        nonlocal asked
        watcher.asking = f"{method} {raw[:200]}"
        base = {"Host": "localhost:8040", "Origin": "http://localhost:8040"}
        form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        answer = await knock(town.house.app, method, raw, {**base, **form, **headers}, body)
        watcher.asking, asked = "", asked + 1
        if said in answer or "root:" in answer or answer.startswith("5"):
            told.append(f"{method} {raw[:200]}: {answer[:80]}")

    good = {**OTHERS, **MISSING, **town.ids}
    for door in DOORS:
        kind = door.access.partition(":")[0]
        actor = {"token": "token", "admin": "admin", "user": "user"}.get(kind, "anonymous")
        assert may(actor, door) == "in" or kind == "token", door
        for bad in hostile(secret):
            for raw in addresses(door, good, bad):
                await ask(door.method, raw, keys[actor])
    for bad in hostile(secret):
        language = {"Accept-Language": bad, "Cookie": f"holdfast-look={bad}; locale={bad}"}
        await ask("GET", "/login", language)
        for raw in (f"/{bad}", f"/static/{bad}", f"/static/css/{bad}", f"/jobs?q={bad}&sort={bad}"):
            await ask("GET", raw, keys["user"])
        form = f"part=look&locale={bad}&theme={bad}&time_zone={bad}".encode()
        await ask("POST", "/account", keys["user"], form)
        # A row that says so itself: whoever wrote it, no file is opened for it.
        with suppress(apsw.ConstraintError):  # the table itself takes no absolute one
            written = unquote(bad).replace("\0", "")
            await DB.execute("UPDATE tickets SET file_path = ?", (written,))
        for door in DOORS:
            if door.method == "GET" and "{ticket_id}" in door.path and "user" in door.access:
                await ask("GET", next(addresses(door, good, town.ids["ticket_id"])), keys["user"])
    return asked, told


def unpack_everything(data_dir: Path, watcher: Watcher, secret: Path) -> int:
    """Archives whose members want out; how many were refused."""
    refused = 0
    for number, bad in enumerate(map(unquote, hostile(secret))):
        for kind in ("zip", "tar"):
            packed = data_dir / "tmp" / f"{number}.{kind}"
            if kind == "zip":
                with zipfile.ZipFile(packed, "w") as archive:
                    archive.writestr(bad, b"overwritten")
            else:
                with tarfile.open(packed, "w") as tar:
                    info = tarfile.TarInfo(bad.replace("\0", "_"))
                    info.size = 11
                    tar.addfile(info, io.BytesIO(b"overwritten"))
            watcher.asking = f"unpack {bad[:200]!r} of a {kind}"
            try:
                unpack(packed, data_dir / "tmp" / f"out-{number}-{kind}")
            except BadArchive:
                refused += 1
            watcher.asking = ""
    return refused


async def trusting(home: Path, watcher: Watcher, secret: Path) -> int:
    """The control: a server that believes any name, and how many of them it opens the secret for.

    Once or twice decoded, as servers behind servers do.
    """
    opened = 0

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        name = scope["path"].removeprefix("/files/")
        for way in (name, unquote(name)):
            with suppress(OSError, ValueError):
                body = (home / way).read_bytes()
                await send({"type": "http.response.body", "body": body})
                return

    for bad in hostile(secret):
        watcher.asking = f"control {bad[:200]}"
        answer = await knock(app, "GET", f"/files/{bad}", {})
        opened += answer == secret.read_text() and any(
            told == (str(secret), watcher.asking) for told in watcher.elsewhere
        )
    return opened


async def look(data_dir: Path, secret: Path) -> dict[str, Any]:
    """All of it, and at the end the control."""
    mimetypes.init()  # it reads a table of the system, once
    async with running(data_dir / "holdfast.db", rate_reads=0, rate_writes=0) as house:
        town = await Town.founded(house)
        await town.plant()
        home = data_dir / "files" / "tickets" / "x"
        home.mkdir(parents=True, exist_ok=True)
        (home / "link").symlink_to(secret.parent)
        (home / "raw.html").symlink_to(secret)
        watcher = Watcher(homes(data_dir))
        watcher.start()
        asked, told = await ask_everywhere(town, watcher, secret)
        watcher.asking = "a link in the data folder"
        for parts in (("link", "secret.txt"), ("raw.html",)):
            try:
                told.append(read_bytes(inside(home, *parts)).decode())
            except NotFound:
                continue
        refused = await asyncio.to_thread(unpack_everything, data_dir, watcher, secret)
        found, heard = sorted(watcher.elsewhere), watcher.count
        control = await trusting(home, watcher, secret)
    return {
        "asked": asked,
        "heard": heard,
        "told": told,
        "refused": refused,
        "elsewhere": found,
        "control": control,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(look(Path(sys.argv[1]), Path(sys.argv[2])))))  # noqa: T201
