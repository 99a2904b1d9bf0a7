"""New keys for the vault: while others write, after any crash, and when the old ones are lost."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from app.accounts.service import rekey
from app.accounts.service.passwords import Hasher
from app.core import audit, keys, settings, vault
from app.core.ring import RING_FILE, VaultError
from app.core.vault import WrongKey
from db.engine import DB, ApswEngine
from tests.app.accounts.people import invited, with_app

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]
HOW_MANY = 450  # more than two batches
POINTS = {
    "master": (
        "vault_ring_temp_written",
        "vault_ring_renamed",
        "vault_before_rewrap_commit",
        "vault_after_rewrap",
    ),
    "data": (
        "vault_before_new_data_key",
        "vault_reseal_batch",
        "vault_reseal_batch:2",
        "vault_before_retire",
    ),
}


async def fill(count: int = HOW_MANY) -> None:
    async with DB.tx():
        for number in range(count):
            sealed = vault.seal(
                "credentials", "login_password_encrypted", f"c{number}", f"s{number}"
            )
            await DB.execute(
                "INSERT INTO credentials (id, service, login_password_encrypted) VALUES (?, ?, ?)",
                (f"c{number}", f"x{number}", sealed),
            )


async def unopened() -> int:
    """How many of the values do not open as what they are."""
    bad = 0
    rows = await DB.all("SELECT id, login_password_encrypted AS text FROM credentials")
    for row in rows:
        try:
            text = vault.open("credentials", "login_password_encrypted", row["id"], row["text"])
            bad += text.reveal() not in (f"s{row['id'][1:]}", f"n{row['id'][1:]}")
        except VaultError:
            bad += 1
    return bad


@pytest.mark.feature("X-35")
async def test_a_new_data_key_seals_everything_anew_while_others_write(
    house: ApswEngine, admin: str
) -> None:
    await fill()
    await with_app(admin)
    sealed_before = await DB.value("SELECT secret FROM totp_secrets")
    before = vault.active_key()
    await rekey.rotate_data()
    assert vault.active_key() != before

    async def write() -> None:
        for number in range(0, HOW_MANY, 7):
            sealed = vault.seal(
                "credentials", "login_password_encrypted", f"c{number}", f"n{number}"
            )
            await DB.execute(
                "UPDATE credentials SET login_password_encrypted = ? WHERE id = ?",
                (sealed, f"c{number}"),
            )

    done, _ = await asyncio.gather(rekey.reseal_all(), write())
    assert done["unreadable"] == 0
    standing = await rekey.get_standing()
    assert (standing.behind, standing.unreadable, standing.data_keys) == (0, 0, 2)
    assert await unopened() == 0
    kept = await DB.one("SELECT login_password_encrypted AS text FROM credentials WHERE id = 'c7'")
    assert kept
    opened = vault.open("credentials", "login_password_encrypted", "c7", kept["text"])
    assert opened.reveal() == "n7", "who wrote meanwhile won"
    sealed_after = await DB.value("SELECT secret FROM totp_secrets")
    assert sealed_after != sealed_before
    assert vault.open("totp_secrets", "secret", admin, sealed_after)
    assert (await rekey.reseal_all())["resealed"] == 0


async def test_a_new_master_key_wraps_the_data_keys_and_keeps_the_old_one(
    house: ApswEngine, data_dir: Path
) -> None:
    await fill(5)
    old = vault.kids()
    kid = await rekey.rotate_master(data_dir, {})
    assert vault.kids() == [kid, *old]
    assert await unopened() == 0
    assert await DB.value("SELECT count(*) FROM vault_keys WHERE kek_id <> ?", (kid,)) == 0
    copy = data_dir / "backups" / "old.tar"
    copy.parent.mkdir(exist_ok=True)
    copy.write_text("x")
    os.utime(copy, (1, 1))
    with pytest.raises(VaultError, match="backup"):
        await keys.forget_old_masters(data_dir, {})
    copy.unlink()
    assert await keys.forget_old_masters(data_dir, {}) == old
    await vault.load(data_dir, {})
    assert vault.kids() == [kid]
    assert await unopened() == 0
    assert await audit.verify() is None, "the chain does not hang on the keys that went"


async def test_a_key_from_outside_is_changed_outside(house: ApswEngine, data_dir: Path) -> None:
    line = (data_dir / RING_FILE).read_text()
    (data_dir / RING_FILE).unlink()
    with pytest.raises(VaultError, match="HOLDFAST_MASTER_KEY"):
        await rekey.rotate_master(data_dir, {"HOLDFAST_MASTER_KEY": line})
    (data_dir / RING_FILE).write_text(line)


@pytest.mark.parametrize(
    ("what", "point"), [(what, point) for what, points in POINTS.items() for point in points]
)
async def test_a_rotation_killed_anywhere_leaves_every_secret_readable(
    database: Path, data_dir: Path, what: str, point: str
) -> None:
    await DB.open(database)
    await vault.load(data_dir, {})
    await fill(250)
    await DB.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.app.accounts.rotate",
        str(data_dir),
        what,
        cwd=ROOT,
        env={**os.environ, "HOLDFAST_FAILPOINT": f"{point}:kill"},
    )
    assert await process.wait() == -signal.SIGKILL
    await DB.open(database)
    try:
        await vault.load(data_dir, {})
        assert await unopened() == 0
        if what == "master":
            await rekey.rotate_master(data_dir, {})
        else:
            await rekey.reseal_all()
            assert (await rekey.get_standing()).behind == 0
        assert await unopened() == 0
    finally:
        vault.close()
        await DB.close()


async def test_after_a_lost_key_everything_but_the_secrets_goes_on(
    house: ApswEngine, admin: str, data_dir: Path, hasher: Hasher
) -> None:
    await fill(3)
    bea = (await invited(admin, "bea", hasher)).user_id
    await with_app(admin)
    odd = "hf1.00000000-0000-7000-8000-000000000000." + "A" * 120
    await DB.execute("UPDATE users SET email = ? WHERE id = ?", (odd, bea))
    lines = await DB.value("SELECT count(*) FROM audit_log")
    (data_dir / RING_FILE).unlink()
    vault.close()
    with pytest.raises(WrongKey):
        await vault.load(data_dir, {})
    gone = await rekey.forget(data_dir, {})
    assert gone["credentials.login_password_encrypted"] == 3
    assert await DB.value("SELECT count(*) FROM credentials") == 3
    assert await DB.value("SELECT count(login_password_encrypted) FROM credentials") == 0
    assert await DB.value("SELECT count(*) FROM totp_secrets") == 0
    assert await DB.value("SELECT count(*) FROM users") == 2, "nobody is lost"
    assert await DB.value("SELECT email FROM users WHERE id = ?", (bea,)) == odd
    assert await DB.value("SELECT count(*) FROM audit_log") == lines + 1
    assert await audit.verify() is None, "the chain begins anew behind the old lines"
    await DB.execute("DELETE FROM audit_log WHERE id = ?", (lines + 1,))
    assert await audit.verify() == lines + 1
    await settings.put("accounts.invite_hours", 5, admin)
    assert vault.open("a", "b", "c", vault.seal("a", "b", "c", "again")).reveal() == "again"


async def test_a_value_that_does_not_open_is_told_of(house: ApswEngine) -> None:
    told: list[tuple[str, str, str]] = []
    vault.watch(lambda *place: told.append(place))
    try:
        sealed = vault.seal("credentials", "login_password_encrypted", "a", "x")
        with pytest.raises(VaultError):
            vault.open("credentials", "login_password_encrypted", "b", sealed)
    finally:
        vault.watch(None)
    assert told == [("credentials", "login_password_encrypted", "b")]
