"""Sends a stretch of a file, and cuts, halts, slows or spoils it where it was ordered."""

import os
import time
from pathlib import Path
from typing import Any, BinaryIO

from app.demo.fus.archive import Facts
from app.demo.fus.scenario import Order
from app.demo.fus.state import State, Token
from app.demo.fus.wire import Cut, Line

# between two pieces the orders are looked at again; larger pieces gain no speed
PIECE = 1024 * 1024
TICKS = 20
LOOK_S = 0.05


class Stream:
    """One answer's body. What the socket took is counted while it runs."""

    def __init__(
        self, state: State, token: Token, facts: Facts, start: int, stop: int, line: dict[str, Any]
    ) -> None:
        self._state = state
        self._token = token
        self._facts = facts
        self._start, self._at, self._stop = start, start, stop
        self._line = line
        self._served = [start, start]
        self._paused = False
        self._next_at = 0.0

    async def send(self, line: Line) -> None:
        """Send it all; raises Cut where an order says so."""
        state = self._state
        state.served[self._facts.filename].append(self._served)
        state.streams += 1
        state.peak_streams = max(state.peak_streams, state.streams)
        try:
            with _open(state.shelf.path(self._facts.recipe)) as file:
                while self._at < self._stop:
                    await self._piece(line, file)
        finally:
            state.streams -= 1
            self._line["done"] = self._at == self._stop

    async def _piece(self, line: Line, file: BinaryIO) -> None:
        if self._token.void:
            raise Cut
        room = min(PIECE, self._stop - self._at)
        room = min(room, await self._pace(room))
        for name in ("drop", "pause"):
            room = await self._halt(name, room, line)
        room = self._until_expiry(room)
        spoiled = self._look("corrupt")
        if spoiled is not None:
            offset = spoiled.params.offset
            if offset == self._at:
                await self._spoil(line, file, spoiled)
                return
            if self._at < offset < self._at + room:
                room = offset - self._at
        await self._copy(line, file, room)

    async def _copy(self, line: Line, file: BinaryIO, room: int) -> None:
        at = self._at
        os.lseek(file.fileno(), at, os.SEEK_SET)
        try:
            sent = await line.send_file(file, at, room)
        except BaseException:
            # sendfile leaves the file where it stopped: so much went out before the peer left
            reached = os.lseek(file.fileno(), 0, os.SEEK_CUR)
            self._count(max(0, min(reached - at, room)))
            raise
        if sent == 0:
            raise Cut  # the file is shorter than it was
        self._count(sent)

    async def _spoil(self, line: Line, file: BinaryIO, order: Order) -> None:
        right = os.pread(file.fileno(), 1, self._at)
        await line.write(bytes([right[0] ^ 0x55]))
        self._state.scenarios.use(order)
        self._state.note("fault", fault="corrupt", offset=self._at)
        self._count(1)

    async def _halt(self, name: str, room: int, line: Line) -> int:
        """Stop here, or say how many bytes there are until then."""
        order = self._look(name)
        if order is None or (name == "pause" and self._paused):
            return room
        left = order.params.after - (self._at - self._start)
        if left > 0:
            return min(room, left)
        self._state.scenarios.use(order)
        self._state.note("fault", fault=name, offset=self._at)
        if name == "drop":
            raise Cut(reset=order.params.reset)
        self._paused = True
        await self._sit(order.params.s, line)
        return room

    async def _sit(self, seconds: float, line: Line) -> None:
        """Send nothing; who hangs up meanwhile is no open stream any more."""
        until = time.monotonic() + seconds
        while not self._state.closing.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return
            await self._state.wait(min(left, LOOK_S))
            if line.is_gone:
                raise Cut(reset=True)

    def _until_expiry(self, room: int) -> int:
        order = self._look("expire")
        if order is None:
            return room
        left = order.params.after - order.seen
        if left > 0:
            return min(room, left)
        self._state.scenarios.use(order)
        order.seen = 0
        self._state.note("fault", fault="expire", offset=self._at)
        self._state.expire_all()
        raise Cut

    async def _pace(self, room: int) -> int:
        """Wait for the next slice of a slow line; returns how much it may be."""
        order = self._look("slow")
        rate = order.params.rate if order else self._state.rate
        if not rate:
            return room
        now = time.monotonic()
        if self._next_at > now:
            await self._state.wait(self._next_at - now)
        slice_ = max(1, min(room, rate // TICKS))
        # an idle line may not make up for lost time with a burst
        self._next_at = max(self._next_at, now - 0.1) + slice_ / rate
        return slice_

    def _count(self, sent: int) -> None:
        self._at += sent
        self._served[1] = self._at
        self._line["sent"] += sent
        order = self._look("expire")
        if order is not None:
            order.seen += sent

    def _look(self, name: str) -> Order | None:
        return self._state.scenarios.look(name, "bytes", self._facts.recipe.model)


def _open(path: Path) -> BinaryIO:
    # unbuffered: the position is the kernel's, which _copy asks for
    return path.open("rb", buffering=0)
