"""The primitives we stand on, against the vectors their authors published.

TOTP (RFC 6238): `tests/app/accounts/test_factors.py`.
"""

import base64
from typing import Any

import argon2.low_level as argon2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.accounts.service.passwords import PRESETS
from app.core import vault
from app.core.vault import SALT_BYTES
from db.engine import ApswEngine

pytestmark = pytest.mark.anyio


def raw(text: str) -> bytes:
    return bytes.fromhex("".join(text.split()))


# McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test cases 13 to 16.
KEY = raw("feffe9928665731c6d6a8f9467308308" * 2)
PLAIN = raw(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
BOX = raw(
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
)
GCM = [
    (bytes(32), bytes(12), b"", b"", b"", "530f8afbc74536b9a963b4f1c4cb738b"),
    (
        bytes(32),
        bytes(12),
        b"",
        bytes(16),
        raw("cea7403d4d606b6e074ec5d3baf39d18"),
        "d0d1c8a799996bf0265b98b5d48ab919",
    ),
    (KEY, raw("cafebabefacedbaddecaf888"), b"", PLAIN, BOX, "b094dac5d93471bdec1a502270e3cc6c"),
    (
        KEY,
        raw("cafebabefacedbaddecaf888"),
        raw("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        PLAIN[:60],
        BOX[:60],
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
]


@pytest.mark.feature("X-13")
@pytest.mark.parametrize(("key", "nonce", "aad", "plain", "box", "tag"), GCM)
def test_aes_256_gcm(
    key: bytes, nonce: bytes, aad: bytes, plain: bytes, box: bytes, tag: str
) -> None:
    assert AESGCM(key).encrypt(nonce, plain, aad) == box + raw(tag)
    assert AESGCM(key).decrypt(nonce, box + raw(tag), aad) == plain
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(nonce, box + raw(tag), aad + b"x")


# RFC 5869, appendix A, cases 1 to 3.
HKDF_SHA256 = [
    (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
        "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        b"\x0b" * 22,
        b"",
        b"",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.feature("X-13")
@pytest.mark.parametrize(("ikm", "salt", "info", "okm"), HKDF_SHA256)
def test_hkdf_and_the_vaults_own_use_of_it(ikm: bytes, salt: bytes, info: bytes, okm: str) -> None:
    made = HKDF(algorithm=SHA256(), length=len(raw(okm)), salt=salt or None, info=info).derive(ikm)
    assert made == raw(okm)
    assert vault._derive(ikm, salt, info) == raw(okm)[:32]


@pytest.mark.feature("X-24")
def test_argon2id() -> None:
    """RFC 9106, section 5.3, with its secret and its associated data."""
    ffi: Any = argon2.ffi
    out, password, salt = (
        ffi.new(f"uint8_t[{size}]", fill)
        for size, fill in ((32, bytes(32)), (32, b"\x01" * 32), (16, b"\x02" * 16))
    )
    secret, data = ffi.new("uint8_t[8]", b"\x03" * 8), ffi.new("uint8_t[12]", b"\x04" * 12)
    context = ffi.new(
        "argon2_context *",
        {
            "out": out,
            "outlen": 32,
            "pwd": password,
            "pwdlen": 32,
            "salt": salt,
            "saltlen": 16,
            "secret": secret,
            "secretlen": 8,
            "ad": data,
            "adlen": 12,
            "t_cost": 3,
            "m_cost": 32,
            "lanes": 4,
            "threads": 4,
            "version": argon2.ARGON2_VERSION,
            "allocate_cbk": ffi.NULL,
            "free_cbk": ffi.NULL,
            "flags": 0,
        },
    )
    assert argon2.core(context, argon2.Type.ID.value) == 0, "ARGON2_OK"
    assert bytes(ffi.buffer(out)) == raw(
        "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    )


@pytest.mark.feature("X-24")
@pytest.mark.parametrize(
    ("preset", "memory", "passes", "lanes"), [("default", 65536, 3, 4), ("small", 19456, 2, 1)]
)
def test_passwords_are_argon2id_with_the_parameters_that_are_written_down(
    preset: str, memory: int, passes: int, lanes: int
) -> None:
    """A hash of ours is what the library makes of the same salt by itself."""
    stored = PRESETS[preset].hash("seven green bottles hanging")
    _, kind, version, parameters, salt, tag = stored.split("$")
    assert (kind, version) == ("argon2id", "v=19")
    assert parameters == f"m={memory},t={passes},p={lanes}"
    made = argon2.hash_secret_raw(
        b"seven green bottles hanging",
        unpadded(salt),
        time_cost=passes,
        memory_cost=memory,
        parallelism=lanes,
        hash_len=32,
        type=argon2.Type.ID,
    )
    assert made == unpadded(tag)
    assert len(unpadded(salt)) == 16


@pytest.mark.feature("X-13")
async def test_a_sealed_value_is_what_the_design_says(house: ApswEngine) -> None:
    """Opened by hand, with nothing of the vault but its data key."""
    assert house
    sealed = vault.seal("credentials", "login_password_encrypted", "row-1", "swordfish")
    form, key_id, body = sealed.split(".")
    opened = vault._loaded()
    data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    salt, nonce, box = data[:SALT_BYTES], data[SALT_BYTES : SALT_BYTES + 12], data[28:]
    place = b"holdfast/field/1|credentials|login_password_encrypted|row-1"
    key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=place).derive(
        opened._data_keys[key_id]
    )
    plain = AESGCM(key).decrypt(nonce, box, place)
    assert (form, len(plain) % 32) == ("hf1", 0)
    assert plain[4 : 4 + int.from_bytes(plain[:4], "big")] == b"swordfish"


def unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
