"""The vault: what opens where, what a wrong key says, and what a thief of the file sees."""

import base64
import json
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import ring, vault
from app.core.secret import SecretStr
from app.core.vault import VaultError, WrongKey
from db.engine import DB, ApswEngine

pytestmark = pytest.mark.anyio

PLACE = ("credentials", "login_password_encrypted", "01890000-0000-7000-8000-000000000001")
START = """
import asyncio, sys
from pathlib import Path
from app.core import vault
from db.engine import DB

async def main(data_dir: Path, master_key: str) -> None:
    await DB.open(data_dir / "holdfast.db")
    await vault.load(data_dir, {"HOLDFAST_MASTER_KEY": master_key})
    await DB.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""
CANARY = "Canary-Passwort-9183/ü"


async def test_a_secret_opens_in_its_own_place_and_nowhere_else(house: ApswEngine) -> None:
    sealed = vault.seal(*PLACE, CANARY)
    assert vault.open(*PLACE, sealed).reveal() == CANARY
    table, column, row = PLACE
    for other in (
        ("users", column, row),
        (table, "label", row),
        (table, column, "01890000-0000-7000-8000-000000000002"),
        (table, column, ""),
    ):
        with pytest.raises(VaultError):
            vault.open(*other, sealed)


async def test_a_number_and_its_text_are_the_same_row(house: ApswEngine) -> None:
    assert vault.open("t", "c", "7", vault.seal("t", "c", 7, "x")).reveal() == "x"


async def test_no_changed_byte_and_no_other_spelling_opens(house: ApswEngine) -> None:
    sealed = vault.seal(*PLACE, "x")
    form, key_id, body = sealed.split(".")
    raw = bytearray(ring.unb64(body) or b"")
    bad = ["", ".", "..", "hf1..", body, f"{form}.{key_id}", f"hf2.{key_id}.{body}", sealed + "."]
    bad += [f"{form}.{key_id[:-1]}x.{body}", f"{form}.{key_id}.{body[:-4]}", f"{form}.{key_id}.é"]
    for at in range(len(raw)):
        raw[at] ^= 1
        bad.append(f"{form}.{key_id}.{ring.b64(bytes(raw))}")
        bad.append(f"{form}.{key_id}.{ring.b64(bytes(raw[:at]))}")
        raw[at] ^= 1
    for stored in bad:
        with pytest.raises(VaultError):
            vault.open(*PLACE, stored)
    assert vault.open(*PLACE, sealed)


@given(st.text(max_size=200))
async def test_anything_that_is_no_vault_text_is_a_vault_error(stored: str) -> None:
    opened = vault.Vault([], {"k": bytes(32)}, "k")
    with pytest.raises(VaultError):
        opened.open("t", "c", 1, stored)


async def test_the_length_of_a_password_does_not_show(house: ApswEngine) -> None:
    lengths = {len(vault.seal("t", "c", 1, "x" * n)) for n in range(1, 29)}
    assert len(lengths) == 1
    assert len(vault.seal("t", "c", 1, "x" * 29)) > lengths.pop()


async def test_a_secret_may_have_64_kib_and_not_a_byte_more(house: ApswEngine) -> None:
    most = "ü" * (32 * 1024)
    assert vault.open("t", "c", 1, vault.seal("t", "c", 1, most)).reveal() == most
    assert vault.open("t", "c", 1, vault.seal("t", "c", 1, "")).reveal() == ""
    with pytest.raises(ValueError, match="64 KiB"):
        vault.seal("t", "c", 1, most + "x")


async def test_the_same_text_sealed_twice_has_nothing_in_common(house: ApswEngine) -> None:
    bodies = [ring.unb64(vault.seal("t", "c", 1, "x").split(".")[2]) or b"" for _ in range(500)]
    assert len({body[:16] for body in bodies}) == len({body[16:28] for body in bodies}) == 500


async def test_a_stolen_database_file_shows_no_secret_in_any_spelling(
    house: ApswEngine, data_dir: Path
) -> None:
    await DB.execute(
        "INSERT INTO credentials (id, service, login_name, login_password_encrypted)"
        " VALUES (?, ?, ?, ?)",
        (PLACE[2], "sample", "ada", vault.seal(*PLACE, CANARY)),
    )
    files = [file for file in data_dir.rglob("*") if file.is_file() and file.name != "secret.key"]
    stored = b"".join(file.read_bytes() for file in files)
    text = CANARY.encode()
    master = (data_dir / "secret.key").read_text().split()[1]
    assert b"hf1." in stored
    for spelling in (
        text,
        base64.b64encode(text).rstrip(b"="),
        base64.urlsafe_b64encode(text).rstrip(b"="),
        text.hex().encode(),
        CANARY.encode("utf-16-le"),
        master.encode(),
        base64.b64decode(master),
        base64.b64decode(master).hex().encode(),
    ):
        assert spelling not in stored


async def test_the_key_file_is_private_and_says_its_id(house: ApswEngine, data_dir: Path) -> None:
    file = data_dir / "secret.key"
    kid, encoded, created = file.read_text().split()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [kid] == vault.kids() == [ring.key_id(base64.b64decode(encoded))]
    assert created.endswith("Z")


async def test_after_a_restart_the_same_keys_open_and_derive_the_same(
    house: ApswEngine, data_dir: Path
) -> None:
    sealed, derived = vault.seal(*PLACE, "x"), vault.derive("audit")
    before = (data_dir / "secret.key").read_bytes()
    vault.close()
    with pytest.raises(VaultError, match="closed"):
        vault.seal(*PLACE, "x")
    await vault.load(data_dir, {})
    assert vault.open(*PLACE, sealed).reveal() == "x"
    assert vault.derive("audit") == derived
    assert vault.derive("cookies") != derived
    assert (data_dir / "secret.key").read_bytes() == before
    assert await DB.value("SELECT count(*) FROM vault_keys") == 1


async def test_a_wrong_ring_is_told_which_key_the_database_needs(
    house: ApswEngine, data_dir: Path
) -> None:
    needed = vault.kids()[0]
    (data_dir / "secret.key").write_bytes(ring.format_ring([_key(1), _key(2)]))
    words = f"holds kids {_key(1).kid}, {_key(2).kid}; database needs {needed}"
    with pytest.raises(WrongKey, match=words):
        await vault.load(data_dir, {})
    with pytest.raises(VaultError, match="closed"):
        vault.open(*PLACE, "hf1.x.y")


async def test_a_lost_ring_is_not_replaced_by_a_new_one(house: ApswEngine, data_dir: Path) -> None:
    needed = vault.kids()[0]
    (data_dir / "secret.key").unlink()
    with pytest.raises(WrongKey, match=f"holds kids none; database needs {needed}"):
        await vault.load(data_dir, {})
    assert not (data_dir / "secret.key").exists()


async def test_a_forged_canary_is_noticed(house: ApswEngine, data_dir: Path) -> None:
    forged = vault.seal("vault_meta", "value", "root", "00" * 32)
    await DB.execute("UPDATE vault_meta SET value = ? WHERE key = 'canary'", (forged,))
    with pytest.raises(WrongKey):
        await vault.load(data_dir, {})


async def test_the_master_key_may_come_from_outside_and_then_no_file_is_made(
    db: ApswEngine, data_dir: Path, tmp_path: Path
) -> None:
    encoded = base64.b64encode(_key(1).secret).decode()
    (tmp_path / "master-key").write_text(encoded + "\n")
    sources = (
        {"HOLDFAST_MASTER_KEY": encoded},
        {"HOLDFAST_MASTER_KEY_FILE": str(tmp_path / "master-key")},
        {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    )
    for env in sources:
        await vault.load(data_dir, env)
        assert vault.kids() == [_key(1).kid]
    assert not (data_dir / "secret.key").exists()
    vault.close()


async def test_a_key_can_move_from_the_file_to_the_environment(
    house: ApswEngine, data_dir: Path
) -> None:
    sealed = vault.seal(*PLACE, "x")
    in_file = vault.kids()[0]
    await vault.load(data_dir, {"HOLDFAST_MASTER_KEY": base64.b64encode(_key(1).secret).decode()})
    assert vault.kids() == [_key(1).kid, in_file]
    assert vault.open(*PLACE, sealed).reveal() == "x"


async def test_rows_wrapped_anew_and_a_second_data_key_open_old_and_new_values(
    house: ApswEngine, data_dir: Path
) -> None:
    old_value = vault.seal(*PLACE, "old")
    old_ring = ring.read_ring(data_dir, {})
    data_key = next(iter(vault._loaded()._data_keys.items()))
    (data_dir / "secret.key").write_bytes(ring.format_ring([_key(1), *old_ring]))
    async with DB.tx():
        await DB.execute(
            "UPDATE vault_keys SET kek_id = ?, wrapped = ?, state = 'retired'",
            (_key(1).kid, vault.wrap(_key(1), *data_key)),
        )
        await DB.execute(
            "INSERT INTO vault_keys (id, kek_id, wrapped) VALUES ('second', ?, ?)",
            (_key(1).kid, vault.wrap(_key(1), "second", bytes(range(32)))),
        )
    (data_dir / "secret.key").write_bytes(ring.format_ring([_key(1)]))
    await vault.load(data_dir, {})
    new_value = vault.seal(*PLACE, "new")
    assert new_value.split(".")[1] == "second"
    assert vault.open(*PLACE, old_value).reveal() == "old"
    assert vault.open(*PLACE, new_value).reveal() == "new"


async def test_two_starts_at_once_end_with_one_data_key(database: Path, data_dir: Path) -> None:
    encoded = base64.b64encode(_key(1).secret).decode()
    starts = [
        subprocess.Popen([sys.executable, "-c", START, str(data_dir), encoded]) for _ in range(3)
    ]
    assert [start.wait() for start in starts] == [0, 0, 0]
    await DB.open(database)
    assert await DB.value("SELECT count(*) FROM vault_keys") == 1
    await DB.close()


@pytest.mark.parametrize("point", ["vault_ring_temp_written", "vault_ring_renamed"])
async def test_killed_at_the_first_start_the_next_one_is_whole(
    database: Path, data_dir: Path, point: str
) -> None:
    env = {**os.environ, "HOLDFAST_FAILPOINT": f"{point}:kill"}
    run = subprocess.run([sys.executable, "-c", START, str(data_dir), ""], env=env, check=False)
    assert run.returncode == -9
    await DB.open(database)
    await vault.load(data_dir, {})
    assert vault.open("t", "c", 1, vault.seal("t", "c", 1, "x")).reveal() == "x"
    vault.close()
    await DB.close()


@pytest.mark.parametrize(
    "text",
    ["not base64", "AAAA", "kid AAAA 2026", "00000000 " + "A" * 43 + "= 2026", "a b c d"],
)
async def test_a_damaged_ring_names_the_line_and_never_the_key(text: str) -> None:
    with pytest.raises(VaultError, match="line 2") as caught:
        ring.parse_ring(f"# keys\n{text}\n", "secret.key")
    assert "AAAA" not in str(caught.value)


async def test_a_ring_that_cannot_be_read_is_a_vault_error(data_dir: Path) -> None:
    file = data_dir / "secret.key"
    file.write_bytes(b"\xff\x00")
    with pytest.raises(VaultError, match="cannot be read"):
        ring.read_ring(data_dir, {})
    file.unlink()
    file.mkdir()
    with pytest.raises(VaultError, match="cannot be read"):
        ring.read_ring(data_dir, {})
    with pytest.raises(VaultError):
        ring.read_ring(data_dir, {"HOLDFAST_MASTER_KEY_FILE": str(data_dir / "none")})


async def test_a_secret_shows_itself_in_no_way_but_one() -> None:
    secret = SecretStr(CANARY)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", repr([secret])]
    shown += [str({"a": secret}), json.dumps({"a": secret}, default=str, ensure_ascii=False)]
    assert not [text for text in shown if CANARY in text]
    assert all("•••" in text for text in shown)
    for template in ("{{ secret }}", "{{ secret|safe }}"):
        page = jinja2.Environment(autoescape=True).from_string(template)
        with pytest.raises(TypeError):
            page.render(secret=secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret == SecretStr(CANARY)
    assert secret != SecretStr("other")
    assert secret != CANARY
    assert secret.reveal() == CANARY


async def test_the_text_of_a_ring_key_does_not_hold_the_key() -> None:
    assert _key(1).secret.hex() not in repr(_key(1))
    assert "secret" not in repr(_key(1))


def _key(number: int) -> ring.RingKey:
    secret = bytes([number]) * 32
    return ring.RingKey(ring.key_id(secret), secret, "2026-11-01T00:00:00.000Z", "test")
