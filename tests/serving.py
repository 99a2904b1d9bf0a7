"""The real program in processes of its own: the server, the stand-in portal, and people at them.

Nothing is shared with the test but files and HTTP, so a test may kill what it started at any
moment. Every wait here ends after a bounded time and then shows the end of the log.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import apsw
import httpx

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
ADMIN, ADMIN_PASSWORD = "keeper", "seven-quiet-harbour-lamps"
PASSWORD = "nine-green-lanterns-adrift"
PATIENCE_S = 30.0
PAUSE_S = 0.02


def until(
    look: Callable[[], T | None], what: str, limit_s: float = PATIENCE_S, pause_s: float = PAUSE_S
) -> T:
    """The first true thing that `look` returns; AssertionError after `limit_s`."""
    end = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"waited {limit_s:g} s for {what}"
        time.sleep(pause_s)


def clean_environment(**more: str) -> dict[str, str]:
    """Ours without any HOLDFAST_* of the developer's shell, plus `more`."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


class Server:
    """`python -m app serve` on a free port. One object may live several lives, on one data folder.

    `env` holds for every life, what `start` is given for that one only.
    """

    def __init__(self, data_dir: Path, env: Mapping[str, str] | None = None, port: int = 0) -> None:
        self.data_dir = data_dir
        self.log_file = data_dir.with_name(f"{data_dir.name}.log")
        self.url = ""
        self._env = {
            "HOLDFAST_LOG_FORMAT": "json",
            "HOLDFAST_PORT": str(port),
            **(env or {}),
        }
        self._began = 0
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self, **env: str) -> Self:
        """Start a life without waiting for it."""
        assert self._process is None or self._process.poll() is not None, "still running"
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "app", "serve", "--data", str(self.data_dir)]
        with self.log_file.open("ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment(**{**self._env, **env}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def start(self, **env: str) -> Self:
        """Start a life and return once /readyz says yes."""
        return self.spawn(**env).until_ready()

    def until_ready(self) -> Self:
        """Wait for a spawned life; AssertionError if it ends first."""
        self.url = self._until_alive(self._listening, "the server to listen")
        self._until_alive(self._ready, "the server to be ready")
        return self

    def quicken(self) -> Self:
        """Ask the portal as often as wanted, and start nothing that no test asked for."""
        connection = apsw.Connection(str(self.data_dir / "holdfast.db"))
        connection.set_busy_timeout(5000)
        connection.execute(
            "UPDATE queue_rates SET limitCount = 1000, periodMs = 1000, burst = 100,"
            " source = 'user' WHERE key = 'nvv'"
        ).fetchall()
        assert connection.changes() == 1, "the portal has a pace"
        connection.execute("UPDATE job_schedules SET enabled = 0, nextFireAt = NULL").fetchall()
        connection.close()
        return self

    @property
    def pid(self) -> int:
        """The process of this life, or of the last one."""
        assert self._process is not None, "never started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """What this life has said so far."""
        with self.log_file.open("rb") as file:
            file.seek(self._began)
            return file.read().decode(errors="replace")

    def wait(self, limit_s: float = PATIENCE_S) -> int:
        """The exit status once it has ended by itself; negative: the signal that ended it."""
        assert self._process is not None, "never started"
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {limit_s:g} s:\n{self._tail()}") from None

    def kill(self) -> None:
        """SIGKILL, as a power cut for the process; no harm if it is over."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)

    def terminate(self) -> None:
        """SIGTERM, without waiting for what comes of it."""
        if self._process is not None and self.alive:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, limit_s: float = PATIENCE_S) -> int:
        """SIGTERM and the exit status."""
        self.terminate()
        return self.wait(limit_s)

    def _listening(self) -> str | None:
        found = re.search(r'"at": ?"http://127\.0\.0\.1:(\d+)"', self.log())
        return f"http://localhost:{found[1]}" if found else None

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _until_alive(self, look: Callable[[], T | None], what: str) -> T:
        def looked() -> T | None:
            assert self.alive, f"ended with {self.wait()} before it was ready:\n{self._tail()}"
            return look()

        try:
            return until(looked, what)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self._tail()}") from None

    def _tail(self) -> str:
        return self.log()[-4000:]


class PortalProcess:
    """`python -m app.demo.portal`, steered through its control plane."""

    def __init__(self, log_file: Path, slow_s: float = 0) -> None:
        command = [sys.executable, "-m", "app.demo.portal", "--slow-s", str(slow_s)]
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the portal did not start:\n{log_file.read_text()}"
        ready = json.loads(line)
        self.sp_url: str = ready["sp_url"]
        self.idp_host: str = ready["idp_host"]
        self._control = httpx.Client(
            base_url=self.sp_url,
            headers={"Authorization": f"Bearer {ready['control_token']}"},
            timeout=PATIENCE_S,
        )

    @property
    def env(self) -> dict[str, str]:
        """The settings that point a server at this portal."""
        return {
            "HOLDFAST_TICKETS_PORTAL_URL": self.sp_url,
            "HOLDFAST_TICKETS_IDP_HOSTS": self.idp_host,
        }

    def scenario(
        self, name: str, *, user: str | None = None, times: int | None = None, **params: Any
    ) -> None:
        """Put a scenario in force."""
        order = {"name": name, "user": user, "times": times, "params": params}
        self._said(self._control.post("/__scenario", json=order))

    def log(self) -> list[dict[str, Any]]:
        """Everything that happened, oldest first."""
        lines: list[dict[str, Any]] = self._said(self._control.get("/__log"))
        return lines

    def stats(self) -> dict[str, Any]:
        """Counts and peaks."""
        counts: dict[str, Any] = self._said(self._control.get("/__stats"))
        return counts

    def reset(self) -> None:
        """A fresh portal on the same ports."""
        self._said(self._control.post("/__reset"))

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _said(self, answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()


class Person:
    """A browser without scripts that comes from our own pages. Follows no redirect by itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, headers={"Origin": url}, timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()

    def move(self, url: str) -> Self:
        """The same browser, cookies and all, at the server's new address."""
        self.url = url
        self.http.base_url = httpx.URL(url)
        self.http.headers["Origin"] = url
        return self

    def get(self, path: str, **more: Any) -> httpx.Response:
        """The page."""
        return self.http.get(path, **more)

    def post(self, path: str, **form: str) -> httpx.Response:
        """A form sent."""
        return self.http.post(path, data=form)

    def sign_in(self, login: str = ADMIN, password: str = ADMIN_PASSWORD) -> Self:
        """Sign in; the password of the first admin if nobody is named."""
        answer = self.post("/login", login=login, password=password)
        assert answer.status_code == 303, f"{answer.status_code}: {answer.text[:500]}"
        return self

    def invite(self, domains: str = "tickets") -> str:
        """A fresh invite's link path, `/join/<secret>`; for a signed-in admin."""
        answer = self.post("/admin/invites", hours="72", role="user", domains=domains)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:500]}"
        found = re.search(r"/join/[A-Za-z0-9_-]{40,}", answer.text)
        assert found, answer.text[:2000]
        return found[0]

    def join(self, link: str, login: str, password: str = PASSWORD) -> Self:
        """Follow the link and make the account; signed in afterwards."""
        assert self.get(link).status_code == 303
        answer = self.post("/join", login=login, email="", password=password)
        assert answer.status_code == 303, f"{answer.status_code}: {answer.text[:500]}"
        return self

    def store_login(self, number: int) -> Self:
        """Store the portal login of the stand-in's student `number`."""
        answer = self.post(
            "/tickets/settings",
            uk_number=f"uk{number:06}",
            uk_password=f"pw-{number}",
            agree="1",
            auto_consent="1",
            accept_terms="1",
        )
        assert answer.status_code == 303, f"{answer.status_code}: {answer.text[:500]}"
        return self

    def order_ticket(self) -> Self:
        """Press the button."""
        answer = self.post("/tickets/download")
        assert answer.status_code == 303, f"{answer.status_code}: {answer.text[:500]}"
        return self


def admin_env(folder: Path) -> dict[str, str]:
    """Settings that make the first admin (`ADMIN`, `ADMIN_PASSWORD`) and keep hashing cheap."""
    file = folder / "admin-password"
    file.write_text(ADMIN_PASSWORD + "\n")
    return {
        "HOLDFAST_ADMIN_LOGIN": ADMIN,
        "HOLDFAST_ADMIN_PASSWORD_FILE": str(file),
        "HOLDFAST_ACCOUNTS_ARGON2_PRESET": "small",
        "HOLDFAST_RATE_ANONYMOUS": "0",
    }


@contextmanager
def serving(
    data_dir: Path, env: Mapping[str, str] | None = None, port: int = 0
) -> Iterator[Server]:
    """A ready server with a first admin; ended at the end of the block, whatever life it is in."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    server = Server(data_dir, {**admin_env(data_dir.parent), **(env or {})}, port)
    try:
        yield server.start()
    finally:
        server.kill()


@contextmanager
def portal(folder: Path, slow_s: float = 0) -> Iterator[PortalProcess]:
    """The stand-in portal; ended at the end of the block."""
    running = PortalProcess(folder / "portal.log", slow_s)
    try:
        yield running
    finally:
        running.close()
