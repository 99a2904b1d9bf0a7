"""At the real server's socket and in its process list: S18 (smuggling), S25 (what children see).

What is smuggled is tried twice, straight and through a real proxy; our own log is the witness.
"""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from app.web.wire import HEAD_BYTES
from tests.reliability.proxy import Proxy, fronted
from tests.serving import ADMIN_PASSWORD, ROOT, Server, clean_environment, serving, until

CANARY = "swordfish-7431-from-outside"
KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("wire")
    env = {"HOLDFAST_MASTER_KEY": KEY, "HOLDFAST_TICKETS_BASE_PASSWORD": CANARY}
    with serving(folder / "data", env) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with fronted(server, tmp_path_factory.mktemp("front")) as running:
        yield running


def say(place: Server | Proxy, *pieces: bytes) -> bytes:
    """Everything that is answered there until they hang up or fall silent."""
    straight = isinstance(place, Server)
    with socket.socket(socket.AF_INET if straight else socket.AF_UNIX) as line:
        line.settimeout(5)
        if isinstance(place, Server):
            line.connect(("127.0.0.1", int(place.url.rpartition(":")[2])))
        else:
            line.connect(str(place.place))
        answer = b""
        try:
            for piece in pieces:
                line.sendall(piece)
            line.settimeout(1)
            while data := line.recv(65536):
                answer += data
        except (TimeoutError, ConnectionError):
            pass
        return answer


def arrived(server: Server) -> list[tuple[str, str]]:
    """Method and route of each request that our own log says we had."""
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [(one["method"], one["route"]) for one in lines if one["event"] == "http.request"]


def heads(answer: bytes) -> list[bytes]:
    """The first line of each answer, also of one that stands right behind a body."""
    return re.findall(rb"HTTP/1\.[01] \d{3}[^\r\n]*", answer)


POST = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
KEPT = b"GET /join HTTP/1.1\r\nHost: localhost\r\n\r\n"
INNER = KEPT[:-2] + b"Connection: close\r\n\r\n"
SEEN = ("GET", "/join")
SMUGGLED: dict[str, bytes] = {
    "both lengths": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + INNER,
    "the other way round": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    + INNER,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + INNER,
    "a list of lengths": POST + b"Content-Length: 0, 44\r\n\r\n" + INNER,
    "a signed length": POST + b"Content-Length: +0\r\n\r\n" + INNER,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + INNER,
    "a length in hex": POST + b"Content-Length: 0x0\r\n\r\n" + INNER,
    "unknown coding": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + INNER,
    "a coding spelt oddly": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "a bad chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n" + INNER,
    "a huge chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n" + INNER,
    "space before the colon": POST + b"Content-Length : 0\r\n\r\n" + INNER,
    "a folded line": POST + b"X: a\r\n Content-Length: 44\r\n\r\n" + INNER,
    "a bare line feed": b"POST /login HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n" + INNER,
    "NUL in a header": POST + b"X: a\0b\r\n\r\n" + INNER,
    "two hosts": b"GET /login HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no version": b"GET /login\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_two_servers_might_read_in_two_ways_is_refused(server: Server, name: str) -> None:
    """Never two answers of which the second was inside the first one's body."""
    before = arrived(server).count(SEEN)
    answer = say(server, SMUGGLED[name])
    assert not any(b"200" in head for head in heads(answer)), heads(answer)
    assert not answer or heads(answer)[0].startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    assert b"Traceback" not in answer
    assert arrived(server).count(SEEN) == before


def test_the_same_requests_one_after_the_other_are_two_answers(server: Server) -> None:
    """The control: the inner request is a good one where it is one."""
    before = arrived(server).count(SEEN)
    answer = say(server, KEPT, INNER)
    assert answer.count(b"HTTP/1.1 200") == 2
    until(lambda: arrived(server).count(SEEN) == before + 2, "the log to be a witness")


# Caddy mends these (the coding wins over the length, the line is unfolded, a bare line feed ends a
# line) and passes on two requests, each whole.
MENDED = {"both lengths", "the other way round", "a folded line", "a bare line feed"}


def test_through_a_proxy_we_read_what_it_read(server: Server, proxy: Proxy) -> None:
    """Refused, or mended by it: nothing arrives here that it did not know to be a request."""
    skipped, known = len(arrived(server)), len(proxy.passed())

    def agreed() -> bool:
        ours, theirs = arrived(server)[skipped:], proxy.passed()[known:]
        return [method for method, _route in ours] == [method for method, _path in theirs]

    def told(before: int, count: int) -> bool:
        return agreed() and proxy.passed()[before:].count(SEEN) == count

    for name, attack in SMUGGLED.items():
        before = len(proxy.passed())
        answer = say(proxy, attack)
        until(
            partial(told, before, int(name in MENDED)),
            f"both logs to say the same after {name}",
        )
        passed = proxy.passed()[before:]
        assert len(heads(answer)) <= max(1, len(passed)), name
        if name not in MENDED:
            assert not any(b" 200" in head for head in heads(answer)), name
            assert b" 400" in answer or b" 50" in answer or not answer, name
        assert b"Traceback" not in answer
    assert say(proxy, KEPT, INNER).count(b"HTTP/1.1 200") == 2, "the control: a good one arrives"
    until(lambda: told(known, len(MENDED) + 2), "both logs to have all of it")
    say(server, INNER)
    until(lambda: not agreed(), "the control: one that the proxy does not know of to be seen")


def test_a_head_that_the_proxy_lets_through_is_too_long_for_us(
    server: Server, proxy: Proxy
) -> None:
    before = arrived(server).count(SEEN)
    huge = KEPT[:-2] + b"X: " + b"a" * (HEAD_BYTES + 1) + b"\r\n\r\n"
    refused = heads(say(proxy, huge + INNER))
    assert refused
    assert refused[0].startswith((b"HTTP/1.1 400", b"HTTP/1.1 502"))
    until(lambda: arrived(server).count(SEEN) == before + 1, "what came behind it, a good one")
    assert len(refused) == 2
    assert refused[1].startswith(b"HTTP/1.1 200")


# ---- S25 ----


@pytest.mark.feature("X-13")
def test_no_secret_stands_in_the_process_list(server: Server) -> None:
    words = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert b"serve" in words
    for secret in (KEY, CANARY, ADMIN_PASSWORD):
        assert secret.encode() not in words


@pytest.mark.feature("X-13")
def test_children_inherit_nothing_that_was_meant_for_us() -> None:
    program = (
        "import os, subprocess, sys; from app.core.secret import take_environment;"
        " kept = take_environment(); subprocess.run(['env'], check=True);"
        " sys.stderr.write(kept['HOLDFAST_MASTER_KEY'])"
    )
    env = clean_environment(
        HOLDFAST_MASTER_KEY=KEY, HOLDFAST_X_FILE="/x", CREDENTIALS_DIRECTORY="/creds", OTHER="kept"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "HOLDFAST" not in done.stdout
    assert "CREDENTIALS" not in done.stdout
    assert "OTHER=kept" in done.stdout, "the rest stays: a browser needs its home"
    assert done.stderr == KEY, "and we still have it"


def test_a_key_from_the_environment_opens_this_house_and_lies_in_no_file(server: Server) -> None:
    assert server.alive
    for file in server.data_dir.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
    assert not (server.data_dir / "secret.key").exists()
    assert (server.data_dir / "holdfast.db").exists()
