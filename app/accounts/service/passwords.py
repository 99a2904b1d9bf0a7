"""Passwords: which ones are taken, and argon2id in a small pool of threads with a short queue."""

import asyncio
import re
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.core import settings
from app.core.errors import AppError, Invalid
from app.core.i18n import _

T = TypeVar("T")

SHORTEST, LONGEST = 10, 256
# Accounts that came over from another program may bring such a hash. It is good for one sign-in,
# which replaces it. Of a password only its first bytes ever counted in it.
BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}")
BCRYPT_BYTES = 72
THREADS, WAITING = 2, 32
JUDGED, JUDGED_ENDS, MANY_SIGNS = 72, 16, 5

# RFC 9106's choice for little memory, and a smaller one for machines with 512 MB.
PRESETS = {
    "default": PasswordHasher(
        time_cost=3, memory_cost=65536, parallelism=4, hash_len=32, salt_len=16
    ),
    "small": PasswordHasher(
        time_cost=2, memory_cost=19456, parallelism=1, hash_len=32, salt_len=16
    ),
}


_SIGNS = frozenset("4@8({[<3691!|7$5+%20")  # zxcvbn's own list


class Busy(AppError):
    """More people sign in at once than the machine can check."""

    status = 503
    retry = True
    retry_after_s = 2


class Pool:
    """Threads for hashing, and a queue that refuses rather than grows.

    Each hash holds up to 64 MiB.
    """

    def __init__(self, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._room = threading.BoundedSemaphore(threads + waiting)
        self.open = 0  # running or waiting
        self.taken = 0  # let in since the start

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work` in one of the threads. Raises Busy where the queue is full."""
        if not self._room.acquire(blocking=False):
            raise Busy(_("Too many people are signing in right now. Please try again in a moment."))
        self.open += 1
        self.taken += 1
        try:
            future = self._threads.submit(work)
            future.add_done_callback(lambda _done: self._room.release())
            return await asyncio.wrap_future(future)
        finally:
            self.open -= 1


_POOL = Pool()


def hashing() -> int:
    """How many passwords are hashed, or wait for it, at this moment."""
    return _POOL.open


def hashed() -> int:
    """How many passwords were let in to be hashed since the start: what guessing costs."""
    return _POOL.taken


class Hasher:
    """Hash and verify with one set of parameters."""

    def __init__(self, argon2: PasswordHasher, pool: Pool = _POOL) -> None:
        self._argon2 = argon2
        self._pool = pool
        self._nobody = _hash_nobody_has(argon2)

    async def hash(self, password: str) -> str:
        """The text to store. Raises Busy."""
        return await self._pool.run(lambda: self._argon2.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one.

        Without a stored hash the same work is done for nothing. Raises Busy.
        """
        return await self._pool.run(lambda: self._verify(stored or self._nobody, password))

    def is_stale(self, stored: str) -> bool:
        """Whether `stored` was made with other parameters than ours."""
        return bool(BCRYPT.fullmatch(stored)) or self._argon2.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            if BCRYPT.fullmatch(stored):
                return verify_bcrypt(stored, password)
            return self._argon2.verify(stored, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False


def verify_bcrypt(stored: str, password: str) -> bool:
    """Whether a hash of another program is of this password; takes some 60 ms."""
    try:
        return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], stored.encode())
    except ValueError:
        return False


async def current_hasher() -> Hasher:
    """The hasher of the preset that the settings name."""
    return _HASHERS[await settings.get("accounts.argon2_preset")]


async def check_password(password: str, *context: str) -> None:
    """Raise Invalid(password=…) unless it is long and unlikely enough.

    `context`: words an attacker tries first.

    Nothing is trimmed, folded or cut: what was typed is what counts.
    """
    if len(password) < SHORTEST:
        raise Invalid(password=_("At least %(n)s characters.", n=SHORTEST))
    if len(password) > LONGEST:
        raise Invalid(password=_("At most %(n)s characters.", n=LONGEST))
    if "\0" in password or not _encodable(password):
        raise Invalid(password=_("This password has a character that cannot be stored."))
    words = [word for text in ("holdfast", *context) for word in (text, *text.split("@")) if word]
    scores = [await asyncio.to_thread(_score, part, words) for part in judged(password)]
    if max(scores) < 3:
        raise Invalid(password=_("Too easy to guess. A few unrelated words make a good password."))


def judged(password: str) -> tuple[str, ...]:
    """What a password is judged by: its first 72 characters, more zxcvbn does not take.

    Of one with many signs that may stand for letters its two ends: zxcvbn tries all their
    meanings, for seconds. A password is no weaker than a part of it.
    """
    whole = password[:JUDGED]
    if len(_SIGNS & set(whole)) <= MANY_SIGNS:
        return (whole,)
    return (whole[:JUDGED_ENDS], whole[-JUDGED_ENDS:])


def _score(part: str, words: list[str]) -> int:
    from zxcvbn import zxcvbn  # noqa: PLC0415 - 14 MB of word lists, for the day one is chosen

    return int(zxcvbn(part, user_inputs=words)["score"])


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hash_nobody_has(argon2: PasswordHasher) -> str:
    """A hash with the parameters of `argon2` that no password fits.

    Made of constants, so it costs nothing.
    """

    def encode(size: int) -> str:
        return b64encode(bytes(range(size))).decode().rstrip("=")

    parameters = f"m={argon2.memory_cost},t={argon2.time_cost},p={argon2.parallelism}"
    return f"$argon2id$v=19${parameters}${encode(argon2.salt_len)}${encode(argon2.hash_len)}"


_HASHERS = {name: Hasher(argon2) for name, argon2 in PRESETS.items()}
