"""What the stand-in remembers: sessions, tokens, orders in force, and what it served."""

import asyncio
import secrets
import string
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal

from app.demo.fus import crypt
from app.demo.fus.archive import Facts
from app.demo.fus.recipe import Recipe, all_recipes
from app.demo.fus.scenario import Scenarios
from app.demo.fus.shelf import Shelf

Protocol = Literal["smart", "kies"]
SIGNS = string.ascii_lowercase + string.digits


@dataclass
class Token:
    """One nonce as the client knows it. `files` are the names an init has opened for it."""

    nonce: str
    shown: str
    protocol: Protocol
    generation: int
    smart_key: str
    issued: float
    files: set[str] = field(default_factory=set)
    void: bool = False

    def is_signed(self, signature: str) -> bool:
        """True for what a client computes that has the keys."""
        if self.protocol == "smart":
            wanted = crypt.smart_signature(self.nonce, self.smart_key)
            return secrets.compare_digest(signature.lower().encode(), wanted.encode())
        wanted = crypt.kies_signature(self.nonce, self.generation)
        return secrets.compare_digest(signature.encode(), wanted.encode())


@dataclass
class State:
    """Everything that is not a constant. One instance per running stand-in."""

    shelf: Shelf
    control_token: str
    size: int
    first_generation: int = len(crypt.GENERATIONS) - 2
    token_ttl_s: float = 3600
    rate: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As just started; files already baked stay on the shelf."""
        self.scenarios = Scenarios()
        self.names: dict[str, Recipe] = {}
        self.generation = self.first_generation
        self.smart_key = crypt.SMART_KEY
        self.sessions: dict[str, Token] = {}
        self.tokens: dict[str, Token] = {}
        self.log: list[dict[str, Any]] = []
        self.requests: Counter[str] = Counter()
        self.served: dict[str, list[list[int]]] = defaultdict(list)
        self.streams = self.peak_streams = 0
        self._started = time.monotonic()

    def note(self, kind: str, **more: Any) -> dict[str, Any]:
        """One log line; callers pass no IMEI, no serial and no signature."""
        line = {"kind": kind, "elapsed_s": round(time.monotonic() - self._started, 3), **more}
        self.log.append(line)
        return line

    def issue(self, session: str, protocol: Protocol, files: set[str] | None = None) -> Token:
        """A fresh nonce for this session; the one before is good for no control request."""
        nonce = "".join(secrets.choice(SIGNS) for _ in range(16))
        kies = protocol == "kies"
        shown = crypt.kies_nonce(nonce, self.generation) if kies else nonce
        token = Token(
            nonce, shown, protocol, self.generation, self.smart_key, time.monotonic(),
            set(files or ()),
        )  # fmt: skip
        self.sessions[session] = self.tokens[shown] = token
        return token

    def is_open(self, token: Token) -> bool:
        """True while the token may fetch bytes."""
        return not token.void and time.monotonic() - token.issued < self.token_ttl_s

    def expire_all(self) -> None:
        """Every token is void: Samsung has changed its mind."""
        for token in self.tokens.values():
            token.void = True

    async def facts(self, recipe: Recipe) -> Facts:
        """Bake if need be; from now on the name leads to this file."""
        facts = await self.shelf.get(recipe)
        self.names[facts.filename] = recipe
        return facts

    def recipe_of(self, filename: str) -> Recipe | None:
        """The file last informed of under this name, or the good one that has this name."""
        return self.names.get(filename) or next(
            (recipe for recipe in all_recipes(self.size) if recipe.filename == filename), None
        )

    async def wait(self, seconds: float) -> None:
        """Sleep, but not longer than the stand-in lives."""
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except TimeoutError:
            return

    def stats(self) -> dict[str, Any]:
        """Requests per path and per file what was sent: in all, at least once, again."""
        files = {}
        for name, ranges in self.served.items():
            merged = merge(ranges)
            sent = sum(stop - start for start, stop in ranges)
            once = sum(stop - start for start, stop in merged)
            files[name] = {
                "gets": len(ranges),
                "bytes": sent,
                "once": once,
                "again": sent - once,
                "ranges": merged,
            }
        return {
            "requests": dict(self.requests),
            "bytes": sum(file["bytes"] for file in files.values()),
            "files": files,
            "streams": self.streams,
            "peak_streams": self.peak_streams,
            "tokens": len(self.tokens),
            "refused": dict(Counter(x["why"] for x in self.log if x["kind"] == "refused")),
        }


def merge(ranges: list[list[int]]) -> list[list[int]]:
    """The same bytes as few stretches, in order, none touching."""
    merged: list[list[int]] = []
    for start, stop in sorted(ranges):
        if start == stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    return merged
