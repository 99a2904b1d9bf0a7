"""A database with its vault open, cheap hashing that counts, and the first admin."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher

from app.accounts.service import setup
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.core import paths, vault
from db.engine import ApswEngine

GOOD = "correct horse battery staple"


class CountingArgon2(PasswordHasher):
    """argon2id with the least cost there is; notes the parameters of each hash it verifies."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str] = []
        self.hashed = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.hashed += 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.verified.append(str(hash).rpartition("$")[0].rpartition("$")[0])
        return super().verify(hash, password)


@pytest.fixture
def argon2() -> CountingArgon2:
    return CountingArgon2()


@pytest.fixture
def hasher(argon2: CountingArgon2) -> Hasher:
    return Hasher(argon2)


@pytest.fixture
async def house(db: ApswEngine, data_dir: Path) -> AsyncIterator[ApswEngine]:
    """An empty house: nobody is in it, the setup token lies in its file."""
    await vault.load(data_dir, {})
    paths.use_data(data_dir)
    await setup.prepare(data_dir)
    yield db
    vault.close()


@pytest.fixture
async def admin(house: ApswEngine, hasher: Hasher) -> str:
    """The first admin, `ada`; her id."""
    return await setup.create_admin("ada", GOOD, "ada@example.org", hasher=hasher)


@pytest.fixture
def caller() -> Caller:
    return Caller(ip="192.0.2.7", user_agent="a browser")
