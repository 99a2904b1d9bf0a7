"""The two download protocols as pure functions: signatures, nonces, bodies of requests.

`smart` (SMART 2.0) needs no IMEI; `kies` is the older one, kept as a fallback.
"""

import base64
import hashlib
from collections.abc import Sequence
from xml.sax.saxutils import escape

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from app.firmware.keys import logic_check

CLOUD_AGENTS = {"smart": "SMART 2.0", "kies": "Kies2.0_FUS"}
# Without them the server answers 400 for the two European super-regions; seen in Bifrost, samfusdl.
REGION_EXTRAS = {"EUX": ("DE", "262", "01"), "EUY": ("RS", "220", "01")}
Fields = Sequence[tuple[str, str]]


class Paths(msgspec.Struct, frozen=True):
    """What the four steps are called on the server."""

    nonce: str
    inform: str
    init: str
    cloud: str


PATHS = {
    "smart": Paths(
        "NF_SmartDownloadGenerateNonce.do",
        "NF_SmartDownloadBinaryInform.do",
        "NF_SmartDownloadBinaryInitForMass.do",
        "NF_SmartDownloadBinaryForMass.do",
    ),
    "kies": Paths(
        "NF_DownloadGenerateNonce.do",
        "NF_DownloadBinaryInform.do",
        "NF_DownloadBinaryInitForMass.do",
        "NF_DownloadBinaryForMass.do",
    ),
}
HISTORY = "SmartHistory.do"


class Token(msgspec.Struct, frozen=True):
    """A nonce as the header brought it, as it reads, and the signature made of it."""

    header: str
    nonce: str
    signature: str


class KeysChanged(Exception):
    """No known pair of keys reads the server's nonce."""


def smart_token(header: str, key_hex: str) -> Token:
    """The nonce is plain; one block of it is the signature. KeysChanged for anything else."""
    if len(header) != 16 or not header.isascii():
        raise KeysChanged
    block = header.encode()[:16].ljust(16, b"0")
    cipher = Cipher(algorithms.AES(bytes.fromhex(key_hex)), modes.ECB()).encryptor()  # noqa: S305
    return Token(header, header, cipher.update(block).hex())


def kies_token(header: str, pairs: Sequence[str]) -> Token:
    """The nonce is sealed with one of `pairs` (`KEY_1:KEY_2`, newest first)."""
    for pair in pairs:
        first, _, second = pair.partition(":")
        nonce = _open(header, first.encode())
        if nonce is not None:
            key = ("".join(first[ord(sign) % 16] for sign in nonce) + second).encode()
            return Token(header, nonce, base64.b64encode(_seal(nonce.encode(), key)).decode())
    raise KeysChanged


def authorization(nonce: str, signature: str) -> str:
    """The header of control and cloud requests."""
    return f'FUS nonce="{nonce}", signature="{signature}", nc="", type="", realm="", newauth="1"'


def history_authorization(nonce: str, model: str) -> str:
    """The header of the history request: the client makes the nonce itself."""
    outer = _md5hex(f"auth:{nonce}:00000001")
    inner = _md5hex(f"interface:{model.upper()}")
    signature = _md5hex(f"{outer}:FUS:{inner}")
    return (
        f'FUS nonce="{nonce}", signature="{signature}", nc="00000001", type="auth",'
        ' realm="interface"'
    )


def smart_inform(model: str, csc: str, version: str, nonce: str) -> bytes:
    """Asks what there is to fetch."""
    fields = [
        ("ACCESS_MODE", "1"),
        ("BINARY_NATURE", "1"),
        ("REQUEST_TYPE", "2"),
        ("LOGIC_CHECK", logic_check(version, nonce)),
        ("BINARY_SW_VERSION", version),
        ("BINARY_LOCAL_CODE", csc),
        ("BINARY_MODEL_NAME", model),
        ("DEVICE_SN_NUMBER", ""),
        *_extras(csc),
    ]
    return _envelope(fields, ["BINARY_SW_VERSION"], command="1")


def smart_init(filename: str, version: str, csc: str, model_type: str, nonce: str) -> bytes:
    """Announces the fetch of one file."""
    fields = [
        ("BINARY_NAME", filename),
        ("BINARY_SW_VERSION", version),
        ("DEVICE_LOCAL_CODE", csc),
        ("DEVICE_MODEL_TYPE", model_type),
        ("LOGIC_CHECK", logic_check(filename[-25:-9], nonce)),
    ]
    return _envelope(fields, [], command="1")


def kies_inform(model: str, csc: str, version: str, nonce: str, imei: str) -> bytes:
    """Asks what there is to fetch; the server wants an IMEI or serial it knows."""
    parts = (version.split("/") + [""] * 4)[:4]
    fields = [
        ("ACCESS_MODE", "2"),
        ("BINARY_NATURE", "1"),
        ("CLIENT_PRODUCT", "Smart Switch"),
        ("CLIENT_VERSION", "4.3.23123_1"),
        ("DEVICE_IMEI_PUSH", imei),
        ("DEVICE_FW_VERSION", version),
        ("DEVICE_LOCAL_CODE", csc),
        ("DEVICE_MODEL_NAME", model),
        ("DEVICE_VER_COUNT", "4"),
        ("DEVICE_PDA_CODE1_VERSION", parts[0]),
        ("DEVICE_CSC_CODE2_VERSION", parts[1]),
        ("DEVICE_PHONE_FONT_VERSION", parts[2]),
        ("DEVICE_CONTENTS_DATA_VERSION", parts[3]),
        ("LOGIC_CHECK", logic_check(version, nonce)),
        *_extras(csc),
    ]
    if csc in REGION_EXTRAS:
        fields.append(("DEVICE_AID_CODE", csc))
    return _envelope(fields, ["LATEST_FW_VERSION"])


def kies_init(filename: str, version: str, csc: str, model_type: str, nonce: str) -> bytes:
    """Announces the fetch of one file."""
    stem = filename.split(".", maxsplit=1)[0]
    fields = [
        ("BINARY_FILE_NAME", filename),
        ("DEVICE_MODEL_TYPE", model_type),
        ("BINARY_NATURE", "1"),
        ("DEVICE_LOCAL_CODE", csc),
        ("BINARY_VERSION", version),
        ("LOGIC_CHECK", logic_check(stem[-16:], nonce)),
    ]
    return _envelope(fields, [])


def history_body(model: str, csc: str) -> bytes:
    """Asks for every version of a model in a region."""
    fields = [("ACCESS_MODE", "1"), ("BINARY_LOCAL_CODE", csc), ("BINARY_MODEL_NAME", model)]
    return _envelope(fields, [], command="1")


def _extras(csc: str) -> Fields:
    names = ("DEVICE_CC_CODE", "MCC_NUM", "MNC_NUM")
    return list(zip(names, REGION_EXTRAS.get(csc, ()), strict=False))


def _envelope(fields: Fields, wanted: Sequence[str], command: str = "") -> bytes:
    put = f"<CmdID>{command}</CmdID>" if command else ""
    put += "".join(f"<{name}><Data>{escape(value)}</Data></{name}>" for name, value in fields)
    get = "<CmdID>2</CmdID>" + "".join(f"<{name}><Data></Data></{name}>" for name in wanted)
    head = "<ProtoVer>1.0</ProtoVer><SessionID>0</SessionID><MsgID>1</MsgID>"
    body = f"<Put>{put}</Put><Get>{get}</Get>"
    return f"<FUSMsg><FUSHdr>{head}</FUSHdr><FUSBody>{body}</FUSBody></FUSMsg>".encode()


def _open(header: str, key: bytes) -> str | None:
    """The 16 characters inside a kies nonce; None if this key does not fit."""
    try:
        sealed = base64.b64decode(header, validate=True)
        cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
        plain = cipher.update(sealed) + cipher.finalize()
    except ValueError:
        return None
    fits = len(plain) == 32 and plain[16:] == b"\x10" * 16 and plain[:16].isascii()
    return plain[:16].decode() if fits else None


def _seal(data: bytes, key: bytes) -> bytes:
    pad = 16 - len(data) % 16
    cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return cipher.update(data + bytes([pad]) * pad) + cipher.finalize()


def _md5hex(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
