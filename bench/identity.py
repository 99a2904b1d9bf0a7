"""Accounts and the vault: pages while many sign in, and what a sealed value costs.

`make bench NAME=identity`.
"""

import asyncio
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.ring import RingKey, key_id
from app.core.vault import Vault
from bench.ground import free_port, running
from bench.measure import Row, compare, report

OURS, BARE = "holdfast", "bare AES-GCM of cryptography"
ROUNDS, BUDGET_S = 7, 0.15
SIZES = (16, 256, 4096, 60_000)
SIGN_INS, WATCH_S = 20, 10.0
LOGIN, CROWD, PASSWORD = "keeper", "crowd", "seven-quiet-harbour-lamps"


def rate(work: Callable[[], object]) -> float:
    """How often `work` is done in a second."""
    end, done = time.perf_counter() + BUDGET_S, 0
    began = time.perf_counter()
    while time.perf_counter() < end:
        for _ in range(20):
            work()
        done += 20
    return done / (time.perf_counter() - began)


def vault_rows() -> list[Row]:
    """Seal and open against the cipher alone: one key, same bytes, same associated data."""
    master = secrets.token_bytes(32)
    vault = Vault(
        [RingKey(key_id(master), master, "", "bench")], {"k": secrets.token_bytes(32)}, "k"
    )
    place = ("credentials", "login_password_encrypted", "01890000-0000-7000-8000-000000000001")
    aad = f"holdfast/field/1|{'|'.join(place)}".encode()
    cipher = AESGCM(secrets.token_bytes(32))
    rows = []
    for size in SIZES:
        text = secrets.token_hex(size // 2)
        plain = text.encode()
        sealed = vault.seal(*place, text)
        nonce = secrets.token_bytes(12)
        box = cipher.encrypt(nonce, plain, aad)

        def seal(text: str = text) -> object:
            return vault.seal(*place, text)

        def unseal(sealed: str = sealed) -> object:
            return vault.open(*place, sealed)

        def encrypt(plain: bytes = plain) -> object:
            return cipher.encrypt(secrets.token_bytes(12), plain, aad)

        def decrypt(nonce: bytes = nonce, box: bytes = box) -> object:
            return cipher.decrypt(nonce, box, aad)

        for name, ours, bare in (("seal", seal, encrypt), ("open", unseal, decrypt)):
            samples: dict[str, list[float]] = {OURS: [], BARE: []}
            for _ in range(ROUNDS):
                samples[OURS].append(rate(ours))
                samples[BARE].append(rate(bare))
            rows.append(compare(f"{name} {size:,} bytes", "a second", samples, OURS, BARE))
    return rows


async def door_rows(url: str) -> list[Row]:
    """A signed-in person's page, first alone, then while twenty others sign in without a pause."""
    limits = httpx.Limits(max_connections=60)
    origin = {"Origin": url}
    async with httpx.AsyncClient(base_url=url, headers=origin, limits=limits, timeout=60) as client:
        form = {"login": LOGIN, "password": PASSWORD}
        entered = await client.post("/login", data=form)
        if entered.status_code != 303:
            raise RuntimeError(f"no way in: {entered.status_code}")
        mine = entered.cookies["holdfast"]
        client.cookies.clear()
        idle, _, _ = await watched(client, mine, 0, form)
        crowd = {**form, "login": CROWD}
        busy, done, waits = await watched(client, mine, SIGN_INS, crowd)
    return [
        percentile("page, p50, nobody signs in", idle, 0.5),
        percentile("page, p99, nobody signs in", idle, 0.99),
        percentile(f"page, p50, {SIGN_INS} sign in at once", busy, 0.5),
        percentile(f"page, p99, {SIGN_INS} sign in at once", busy, 0.99),
        Row(name="sign-ins meanwhile", value=round(done / WATCH_S, 1), unit="a second"),
        percentile("sign-in, p50", waits, 0.5),
    ]


async def watched(
    client: httpx.AsyncClient, mine: str, others: int, form: dict[str, str]
) -> tuple[list[float], int, list[float]]:
    """Milliseconds of each page in `WATCH_S`; sign-ins done meanwhile, and milliseconds of each."""
    stop = time.monotonic() + WATCH_S
    pages: list[float] = []
    waits: list[float] = []

    async def look() -> None:
        while time.monotonic() < stop:
            began = time.perf_counter()
            answer = await client.get("/account", headers={"Cookie": f"holdfast={mine}"})
            if answer.status_code != 200:
                raise RuntimeError(f"the page said {answer.status_code}")
            pages.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.005)

    async def enter(number: int) -> None:
        # Each from an address of its own: twenty at once from one are slowed down, as they should.
        sent = {"Cookie": "x=y", "X-Forwarded-For": f"192.0.2.{number + 1}"}
        while time.monotonic() < stop:
            began = time.perf_counter()
            answer = await client.post("/login", data=form, headers=sent)
            if answer.status_code not in (303, 503):
                raise RuntimeError(f"the door said {answer.status_code}")
            if answer.status_code == 303:
                waits.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(look(), *(enter(n) for n in range(others)))
    return pages, len(waits), waits


def percentile(name: str, samples: list[float], part: float) -> Row:
    """One row of milliseconds."""
    ordered = sorted(samples)
    value = ordered[min(len(ordered) - 1, int(len(ordered) * part))]
    return Row(
        name=name,
        value=round(value, 2),
        unit="ms",
        better="lower",
        samples={"n": [len(ordered)], "median": [round(statistics.median(ordered), 2)]},
    )


def doors() -> list[Row]:
    """A server of its own with the password hashing people have, not the tests' cheap one."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    port = free_port()
    (folder / "password").write_text(PASSWORD)
    env = {
        "HOLDFAST_DATA_DIR": str(folder / "data"),
        "HOLDFAST_PORT": str(port),
        "HOLDFAST_LOG_LEVEL": "warning",
        "HOLDFAST_RATE_ANONYMOUS": "0",
        "HOLDFAST_TRUSTED_PROXIES": "127.0.0.1,::1",
    }
    try:
        prepare(folder)
        with running([sys.executable, "-m", "app", "serve"], f"http://localhost:{port}/login", env):
            return asyncio.run(door_rows(f"http://localhost:{port}"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(folder: Path) -> None:
    """Who looks, and as whom the others sign in: nobody has more than 20 sessions."""
    app = [sys.executable, "-m", "app"]
    data = ["--data", str(folder / "data")]
    subprocess.run([*app, "migrate", *data], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    for login in (LOGIN, CROWD):
        words = ["create-admin", "--login", login, "--password-file", str(folder / "password")]
        subprocess.run([*app, *words, *data], check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def main() -> None:
    """All rows, printed and written to `bench/results/identity.json`."""
    report("identity", vault_rows() + doors())


if __name__ == "__main__":
    main()
