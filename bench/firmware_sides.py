"""Contestants of `bench.firmware`, each alone in its process.

`holdfast`: the pipeline as the program runs it. `md5`: the floor, the MD5 of the unpacked bytes and
nothing else. `origin`: nanosamfw's order of steps with its libraries (requests, pycryptodome).
"""

import asyncio
import contextlib
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.firmware_files import ours
from bench.measure import serve

MIB = 1024 * 1024
MODEL, CSC = "SM-S921B", "EUX"


def rss_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Watch:
    """Samples memory, and how late the event loop is, while a run goes on."""

    def __init__(self) -> None:
        self.idle = rss_bytes()
        self.peak = self.idle
        self.late: list[float] = []
        self.cpu: dict[tuple[str, int], float] = {}  # seconds by the thread's name and number
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, rss_bytes())
            for thread in threading.enumerate():
                with contextlib.suppress(OSError):
                    stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
                    words = stat.rpartition(")")[2].split()
                    spent = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
                    self.cpu[thread.name, thread.native_id or 0] = spent

    async def loop(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            self.late.append(time.perf_counter() - began - 0.005)

    def stop(self) -> dict[str, float]:
        self._over.set()
        late = sorted(self.late) or [0.0]
        steps = {
            "cpu_receive": "firmware",
            "cpu_unpack": "firmware-unpack",
            "cpu_md5": "firmware-md5",
        }
        return {
            **{
                step: sum(spent for (name, _id), spent in self.cpu.items() if name == thread)
                for step, thread in steps.items()
            },
            "memory_mib": (self.peak - self.idle) / MIB,
            "late_p99_ms": 1000 * late[int(0.99 * (len(late) - 1))],
        }


def one_pass(url: str, home: Path, *, watched: bool = False) -> dict[str, Callable[[], float]]:
    """Download, CRC, decrypt, unpack, MD5 with the program's own pipeline; seconds.

    `watched` samples memory and the event loop, which itself takes a few per cent of two cores.
    """
    from app.core.bulk import Stream
    from app.demo.fus.serve import profile as addresses
    from app.firmware import keys
    from app.firmware.client import Client, Profile, Wish, list_versions, newest
    from app.firmware.pipeline import engine, peek, segments
    from app.firmware.pipeline.source import Remote
    from app.firmware.pipeline.state import Figures, Options

    found = addresses(url)
    profile = Profile(
        fota_url=found["fota_url"], fus_url=found["fus_url"], cloud_url=found["cloud_url"]
    )
    told: dict[str, float] = {}

    class LastByte(Remote):
        """Notes when the last byte of all connections came."""

        last = 0.0

        def open(self, start: int, end: int, size: int) -> Stream:
            stream = super().open(start, end, size)
            read = stream.readinto

            def readinto(buffer: memoryview) -> int:
                count = read(buffer)
                self.last = time.perf_counter()
                return count

            stream.readinto = readinto  # type: ignore[method-assign]
            return stream

    async def run() -> float:
        folder = Path(tempfile.mkdtemp(dir=home))
        watch = Watch() if watched else None
        stalls = asyncio.get_running_loop().create_task(watch.loop()) if watch else None
        latest = newest((await list_versions(profile, MODEL, CSC))[0])
        assert latest is not None
        async with Client(profile) as client:
            binary = await client.inform(Wish(model=MODEL, csc=CSC, version=latest.version))
            began, spent = time.perf_counter(), time.process_time()
            await client.init(binary.filename, binary.key_version, CSC, binary.model_type)
            loop = asyncio.get_running_loop()
            source = LastByte(
                client.cloud_target(binary.path, binary.filename),
                client.cloud_head,
                allow=profile.places(),
                generation=lambda: client.generation,
                renew=lambda n: asyncio.run_coroutine_threadsafe(client.renew(n), loop).result(),
            )
            key = keys.enc4_key(binary.key_version, binary.logic_value)
            part, size = folder / "zip.part", binary.size_bytes
            ends = await asyncio.to_thread(peek.peek, source, key, size, part)
            assert ends is not None
            pieces = segments.plan(ends.segments, [(0, size)], size, 6)
            (folder / "parts").mkdir()

            async def save(_segments: Any, _checked: Any) -> None:
                return None

            async def tell(_figures: Figures, _notes: list[str]) -> None:
                return None

            plan = engine.Plan(
                key=key,
                size=size,
                crc32=binary.crc32,
                segments=pieces,
                members=ends.members,
                part_file=part,
                folder=folder / "parts",
                options=Options(connections=6),
            )
            checked = await engine.fetch(plan, source, save=save, tell=tell, check=lambda: None)
            part.replace(folder / "done.zip")
            took = time.perf_counter() - began
        assert len(checked) == len(ends.members)
        assert all(each.md5_ok for each in checked)
        told["cpu"] = time.process_time() - spent
        told["after_last_byte"] = began + took - source.last
        if watch and stalls:
            told.update(watch.stop())
            await stalls
        shutil.rmtree(folder)
        return took

    def case(name: str) -> Callable[[], float]:
        return lambda: told[name]

    names = ["after_last_byte", "cpu", "memory_mib", "late_p99_ms"]
    names += ["cpu_receive", "cpu_unpack", "cpu_md5"]
    return {"run": lambda: asyncio.run(run()), **{name: case(name) for name in names}}


def floor(folder: Path) -> dict[str, Callable[[], float]]:
    """The MD5 of bytes that lie in memory already; seconds."""
    cpu = 0.0

    def run() -> float:
        nonlocal cpu
        began, spent = time.perf_counter(), time.process_time()
        for path in sorted(folder.iterdir()):
            digest = hashlib.md5(usedforsecurity=False)
            with path.open("rb") as file:
                while data := file.read(MIB):
                    digest.update(data)
        cpu = time.process_time() - spent
        return time.perf_counter() - began

    return {"run": run, "cpu": lambda: cpu}


def origin(url: str, home: Path) -> dict[str, Callable[[], float]]:
    """Download to disk; CRC pass; decrypt to a second file in 4 KiB; unzip; MD5. Seconds."""
    import zlib

    import requests
    from Crypto.Cipher import AES

    offer = _offer(url)
    cpu = 0.0

    def run() -> float:
        nonlocal cpu
        folder = Path(tempfile.mkdtemp(dir=home))
        began, spent = time.perf_counter(), time.process_time()
        sealed, packed, parts = folder / "a.enc4", folder / "a.zip", folder / "parts"
        target, head = _announce(url, offer)
        answer = requests.get(target, headers=head, stream=True, timeout=30)
        with answer, sealed.open("wb") as file:
            for data in answer.iter_content(0x10000):
                file.write(data)
        crc = 0
        with sealed.open("rb") as file:
            while data := file.read(0x10000):
                crc = zlib.crc32(data, crc)
        assert crc == offer["crc32"]
        cipher = AES.new(bytes.fromhex(offer["key"]), AES.MODE_ECB)
        size = sealed.stat().st_size
        with sealed.open("rb") as file, packed.open("wb") as out:
            for at in range(0, size, 4096):
                block = cipher.decrypt(file.read(4096))
                out.write(block if at + 4096 < size else block[: -block[-1]])
        with zipfile.ZipFile(packed) as zipped:
            zipped.extractall(parts)
        for path in parts.iterdir():
            digest = hashlib.md5(usedforsecurity=False)
            with path.open("rb") as file:
                while data := file.read(0x10000):
                    digest.update(data)
        took, cpu = time.perf_counter() - began, time.process_time() - spent
        shutil.rmtree(folder)
        return took

    return {"run": run, "cpu": lambda: cpu}


def unpack(url: str, home: Path) -> dict[str, Callable[[], float]]:
    """Leaves the members in `home`, for the floor."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def run() -> float:
        import urllib.request

        offer = _offer(url)
        target, head = _announce(url, offer)
        packed = home / "floor.zip"
        cipher = Cipher(algorithms.AES(bytes.fromhex(offer["key"])), modes.ECB()).decryptor()  # noqa: S305
        request = urllib.request.Request(target, headers=head)  # noqa: S310 - loopback
        with urllib.request.urlopen(request) as answer, packed.open("wb") as out:  # noqa: S310
            while data := answer.read(65536):
                out.write(cipher.update(data))
        with packed.open("r+b") as file:
            file.seek(-1, 2)
            pad = file.read(1)[0]
            file.truncate(packed.stat().st_size - pad)
        with zipfile.ZipFile(packed) as zipped:
            zipped.extractall(home / "floor")
        packed.unlink()
        return float(sum(path.stat().st_size for path in (home / "floor").iterdir()))

    return {"run": run}


def decrypt() -> dict[str, Callable[[], float]]:
    """The pipeline's decryption alone, one core; bytes a second."""
    from app.firmware.pipeline.receive import CHUNK, Decrypt
    from app.firmware.pipeline.segments import BLOCK

    def run() -> float:
        tool, data = Decrypt(bytes(16)), memoryview(bytearray(CHUNK + BLOCK))
        count, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < 2:
            for _ in range(200):
                tool(data, CHUNK)
            count += 200
        return count * CHUNK / took

    return {"run": run}


def _offer(url: str) -> dict[str, Any]:
    """What the server offers, asked once with our client so that only the steps differ."""
    from app.demo.fus.serve import profile as addresses
    from app.firmware import keys
    from app.firmware.client import Client, Profile, Wish, list_versions, newest

    found = addresses(url)
    profile = Profile(
        fota_url=found["fota_url"], fus_url=found["fus_url"], cloud_url=found["cloud_url"]
    )

    async def ask() -> dict[str, Any]:
        latest = newest((await list_versions(profile, MODEL, CSC))[0])
        assert latest is not None
        async with Client(profile) as client:
            binary = await client.inform(Wish(model=MODEL, csc=CSC, version=latest.version))
        key = keys.enc4_key(binary.key_version, binary.logic_value)
        return {
            "filename": binary.filename,
            "path": binary.path,
            "version": binary.key_version,
            "type": binary.model_type,
            "crc32": binary.crc32,
            "key": key.hex(),
        }

    return asyncio.run(ask())


def _announce(url: str, offer: dict[str, Any]) -> tuple[str, dict[str, str]]:
    from app.demo.fus.serve import profile as addresses
    from app.firmware.client import Client, Profile

    found = addresses(url)
    profile = Profile(
        fota_url=found["fota_url"], fus_url=found["fus_url"], cloud_url=found["cloud_url"]
    )

    async def ask() -> tuple[str, dict[str, str]]:
        async with Client(profile) as client:
            await client.init(offer["filename"], offer["version"], CSC, offer["type"])
            return client.cloud_target(offer["path"], offer["filename"]), client.cloud_head()

    return asyncio.run(ask())


if __name__ == "__main__":
    given = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    sides: dict[str, Callable[[], dict[str, Callable[[], float]]]] = {
        "holdfast": lambda: one_pass(given["url"], Path(given["home"])),
        "watched": lambda: one_pass(given["url"], Path(given["home"]), watched=True),
        "origin": lambda: origin(given["url"], Path(given["home"])),
        "unpack": lambda: unpack(given["url"], Path(given["home"])),
        "md5": lambda: floor(Path(given["home"]) / "floor"),
        "decrypt": decrypt,
        "files": lambda: ours(Path(given["file"])),
    }
    serve(sides[sys.argv[1]]())
