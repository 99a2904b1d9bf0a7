"""At the real server's socket and in its process list: S18 (smuggling), S25 (what children see)."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import ADMIN_PASSWORD, ROOT, Server, clean_environment, serving

CANARY = "swordfish-7431-from-outside"
KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("wire")
    env = {"HOLDFAST_MASTER_KEY": KEY, "HOLDFAST_TICKETS_BASE_PASSWORD": CANARY}
    with serving(folder / "data", env) as running:
        yield running


def say(server: Server, *pieces: bytes) -> bytes:
    """Everything the server answers until it hangs up or falls silent."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
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


POST = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
INNER = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
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
    answer = say(server, SMUGGLED[name])
    heads = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert not any(b"200" in head for head in heads), heads
    assert not answer or heads[0].startswith((b"HTTP/1.1 400", b"HTTP/1.1 403")), answer[:200]
    assert b"Traceback" not in answer


def test_the_same_requests_one_after_the_other_are_two_answers(server: Server) -> None:
    """The control: the inner request is a good one where it is one."""
    answer = say(server, INNER, INNER)
    assert answer.count(b"HTTP/1.1 200") == 2


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
