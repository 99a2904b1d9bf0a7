"""A customer of the stand-in FUS: both protocols in a few lines, from their description."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from lxml import etree

SMART_KEY = bytes.fromhex("422e73733617ae2b198940fd4e32b0a5")
KIES_KEYS = (b"jqw2zntssasudk3zuwwx4tnqz5h3b6i4", b"ifzg4ovyl3cyl3a5")
EUX = {"DEVICE_CC_CODE": "DE", "MCC_NUM": "262", "MNC_NUM": "01"}
IMEI = "001012340000011"
MODEL, CSC = "SM-S921B", "DBT"
VERSION = "S921BXXSBCZD4/S921BOXMBCZD4/S921BXXSBCZD1/S921BXXSBCZD4"


def pick(text: str, nonce: str) -> str:
    return "".join(text[ord(char) & 15] for char in nonce)


def cbc(data: bytes, key: bytes, *, encrypt: bool) -> bytes:
    cipher = Cipher(AES(key), CBC(key[:16]))
    if encrypt:
        padder = padding.PKCS7(128).padder()
        data = padder.update(data) + padder.finalize()
        encryptor = cipher.encryptor()
        return encryptor.update(data) + encryptor.finalize()
    decryptor = cipher.decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    plain = decryptor.update(data) + decryptor.finalize()
    return unpadder.update(plain) + unpadder.finalize()


def decrypt(data: bytes, key: bytes) -> bytes:
    decryptor = Cipher(AES(key), ECB()).decryptor()  # noqa: S305
    unpadder = padding.PKCS7(128).unpadder()
    plain = decryptor.update(data) + decryptor.finalize()
    return unpadder.update(plain) + unpadder.finalize()


def file_key(version: str, logic_value: str) -> bytes:
    return hashlib.md5(pick(version, logic_value).encode(), usedforsecurity=False).digest()


def read(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """Status and every Data by its parent's name."""
    root = etree.fromstring(answer.content)
    data = {
        str(parent.tag): parent.findtext("Data") or "" for parent in root.iterfind(".//*[Data]")
    }
    return root.findtext("FUSBody/Results/Status") or "", data


def body(fields: dict[str, str]) -> bytes:
    put = "".join(f"<{name}><Data>{value}</Data></{name}>" for name, value in fields.items())
    return (
        "<FUSMsg><FUSHdr><ProtoVer>1.0</ProtoVer></FUSHdr><FUSBody>"
        f"<Put><CmdID>1</CmdID>{put}</Put></FUSBody></FUSMsg>"
    ).encode()


@dataclass
class Customer:
    """One session."""

    http: httpx.AsyncClient
    kies: bool = False
    keys: tuple[bytes, bytes] = KIES_KEYS
    shown: str = ""
    nonce: str = ""
    info: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        return f"/NF_{'' if self.kies else 'Smart'}Download{name}.do"

    def signature(self) -> str:
        if self.kies:
            first, second = self.keys
            key = bytes(first[ord(char) % 16] for char in self.nonce) + second
            return base64.b64encode(cbc(self.nonce.encode(), key, encrypt=True)).decode()
        encryptor = Cipher(AES(SMART_KEY), ECB()).encryptor()  # noqa: S305
        return encryptor.update(self.nonce.encode()).hex()

    def headers(self, n: str = "", signature: str | None = None) -> dict[str, str]:
        sign = self.signature() if signature is None else signature
        return {
            "user-agent": "Kies2.0_FUS" if self.kies else "SMART 2.0",
            "authorization": f'FUS nonce="{n}", signature="{sign}", nc="", type="", realm="", '
            'newauth="1"',
        }

    def learn(self, answer: httpx.Response) -> httpx.Response:
        if "nonce" in answer.headers:
            self.shown = self.nonce = answer.headers["nonce"]
            if self.kies:
                plain = cbc(base64.b64decode(self.shown), self.keys[0], encrypt=False)
                self.nonce = plain.decode()
        return answer

    async def greet(self) -> httpx.Response:
        headers = self.headers(signature="")
        return self.learn(await self.http.post(self.path("GenerateNonce"), headers=headers))

    async def ask(
        self, name: str, fields: dict[str, str], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        sent = self.headers() if headers is None else headers
        return self.learn(await self.http.post(self.path(name), content=body(fields), headers=sent))

    async def inform(
        self, model: str = MODEL, csc: str = CSC, version: str = VERSION, **more: str
    ) -> tuple[str, dict[str, str]]:
        fields = self.inform_fields(model, csc, version) | more
        status, self.info = read(await self.ask("BinaryInform", fields))
        return status, self.info

    def inform_fields(self, model: str, csc: str, version: str) -> dict[str, str]:
        check = pick(version, self.nonce)
        if self.kies:
            return {
                "ACCESS_MODE": "2",
                "BINARY_NATURE": "1",
                "CLIENT_PRODUCT": "Smart Switch",
                "CLIENT_VERSION": "4.3.23123_1",
                "DEVICE_IMEI_PUSH": IMEI,
                "DEVICE_FW_VERSION": version,
                "DEVICE_LOCAL_CODE": csc,
                "DEVICE_MODEL_NAME": model,
                "LOGIC_CHECK": check,
            }
        return {
            "ACCESS_MODE": "1",
            "BINARY_NATURE": "1",
            "REQUEST_TYPE": "2",
            "LOGIC_CHECK": check,
            "BINARY_SW_VERSION": version,
            "BINARY_LOCAL_CODE": csc,
            "BINARY_MODEL_NAME": model,
        }

    async def init(self, **more: str) -> str:
        name = self.info["BINARY_NAME"]
        fields = {
            "BINARY_NAME": name,
            "BINARY_SW_VERSION": self.info["BINARY_SW_VERSION"],
            "DEVICE_LOCAL_CODE": self.info["DEVICE_LOCAL_CODE"],
            "DEVICE_MODEL_TYPE": self.info["DEVICE_MODEL_TYPE"],
            "LOGIC_CHECK": pick(name[-25:-9], self.nonce),
        }
        if self.kies:
            check = pick(name.split(".")[0][-16:], self.nonce)
            fields = {"BINARY_FILE_NAME": name, "LOGIC_CHECK": check}
        return read(await self.ask("BinaryInitForMass", fields | more))[0]

    async def ready(self, **asked: str) -> None:
        """Nonce, inform, init."""
        await self.greet()
        status, _ = await self.inform(**asked)
        assert status == "200"
        assert await self.init() in ("200", "S00")

    @property
    def url(self) -> str:
        file = self.info["MODEL_PATH"] + self.info["BINARY_NAME"]
        return f"{self.path('BinaryForMass')}?file={file}"

    async def get(self, start: int | None = None, stop: int | None = None) -> httpx.Response:
        """Bytes from `start` up to, not with, `stop`; all without a start."""
        headers = self.headers(self.shown)
        if start is not None:
            headers["range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        return await self.http.get(self.url, headers=headers)

    async def take(self, start: int, stop: int) -> bytes:
        """What arrives of a range until the line is cut."""
        headers = self.headers(self.shown) | {"range": f"bytes={start}-{stop - 1}"}
        got = bytearray()
        async with self.http.stream("GET", self.url, headers=headers) as answer:
            assert answer.status_code == 206
            try:
                async for chunk in answer.aiter_raw():
                    got += chunk
            except httpx.TransportError:
                return bytes(got)
        return bytes(got)

    @property
    def size(self) -> int:
        return int(self.info["BINARY_BYTE_SIZE"])


def footer(data: bytes) -> tuple[str, str]:
    """MD5 in the footer line and MD5 of what stands before it; '' without a footer."""
    line = data[-512:].rsplit(b"\0", 1)[-1]
    found = re.match(rb"([0-9a-f]{32})  ", line)
    if not found:
        return "", ""
    return found[1].decode(), hashlib.md5(data[: -len(line)], usedforsecurity=False).hexdigest()


def why(log: list[dict[str, Any]]) -> str:
    """The reason of the last refusal."""
    return str([line for line in log if line["kind"] == "refused"][-1]["why"])
