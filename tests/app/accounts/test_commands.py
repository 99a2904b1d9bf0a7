"""The console's way back in: real processes on a real file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.accounts.service import factors, setup, signin
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import settings, vault
from app.core.ring import RING_FILE
from db.engine import DB
from tests.app.accounts.conftest import GOOD
from tests.app.accounts.people import with_app

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]
NEW = "another long good phrase"


def holdfast(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST")}
    return subprocess.run(
        [sys.executable, "-m", "app", *words, "--data", str(data_dir)],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def house(database: Path, hasher: Hasher) -> str:
    """A house with one admin, `ada`, who has an authenticator app; nobody holds it open."""
    await DB.open(database)
    await vault.load(database.parent, {})
    await settings.put("accounts.argon2_preset", "small", None, actor_kind="system")
    admin = await setup.create_admin("ada", GOOD, hasher=hasher)
    await with_app(admin)
    vault.close()
    await DB.close()
    return admin


@pytest.mark.feature("X-29")
async def test_the_locked_out_owner_gets_back_in(
    database: Path, data_dir: Path, tmp_path: Path, hasher: Hasher
) -> None:
    await house(database, hasher)
    file = tmp_path / "new"
    file.write_text(NEW + "\n")
    words = ("reset-password", "--login", "ada", "--password-file", str(file))
    done = holdfast(data_dir, *words)
    assert done.returncode == 0, done.stderr
    assert NEW not in done.stdout + done.stderr
    taken = holdfast(data_dir, "reset-2fa", "--login", "ada")
    assert taken.returncode == 0, taken.stderr
    invited = holdfast(data_dir, "invite", "--label", "Bea")
    assert re.search(r"/join/[A-Za-z0-9_-]{43}$", invited.stdout.strip()), invited.stderr
    unknown = holdfast(data_dir, "reset-2fa", "--login", "nobody")
    assert unknown.returncode == 1
    assert "Traceback" not in unknown.stderr
    await DB.open(database)
    await vault.load(data_dir, {})
    try:
        entered = await signin.sign_in("ada", NEW, Caller(ip="192.0.2.7"))
        assert not entered.pending
        kinds = await DB.all("SELECT action FROM audit_log WHERE actor_kind = 'cli' ORDER BY id")
        actions = {row["action"] for row in kinds}
        assert {"user.password_reset", "factor.all_removed"} <= actions
    finally:
        vault.close()
        await DB.close()


@pytest.mark.feature("X-35")
async def test_after_a_lost_key_the_server_is_told_and_goes_on_by_command(
    database: Path, data_dir: Path, hasher: Hasher
) -> None:
    await house(database, hasher)
    (data_dir / RING_FILE).rename(data_dir / "away")
    lost = holdfast(data_dir, "rotate-key", "--master")
    assert lost.returncode == 78
    assert "database needs" in lost.stderr
    assert "Traceback" not in lost.stderr
    forgot = holdfast(data_dir, "vault", "forget", "--yes")
    assert forgot.returncode == 0, forgot.stderr
    assert "totp_secrets.secret" in forgot.stdout
    rotated = holdfast(data_dir, "rotate-key", "--master", "--data-key")
    assert rotated.returncode == 0, rotated.stderr
    await DB.open(database)
    await vault.load(data_dir, {})
    try:
        entered = await signin.sign_in("ada", GOOD, Caller(ip="192.0.2.7"), hasher=hasher)
        assert not entered.pending
        assert not (await factors.get_factors(entered.user_id)).any
    finally:
        vault.close()
        await DB.close()
