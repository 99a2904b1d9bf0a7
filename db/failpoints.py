"""Named places where a test may end, stall or break the program; a dict look-up when nobody asks.

Armed by `HOLDFAST_FAILPOINT=name[:N][:kill|raise|stall|enospc][,…]`: the N-th passage (default the
first) does it. `kill` is SIGKILL to ourselves, as a power cut is; `stall` waits until killed.
"""

import asyncio
import errno
import os
import signal
import time

_STALL_S = 3600
_ACTIONS = {"kill", "raise", "stall", "enospc"}
_armed: dict[str, tuple[int, str]] = {}


class FailpointHit(RuntimeError):
    """What an armed `raise` point raises."""


def arm(spec: str) -> None:
    """Arm the points of a comma-separated `spec`; an empty one disarms all."""
    _armed.clear()
    for part in filter(None, spec.split(",")):
        name, *words = part.split(":")
        passage = next((int(word) for word in words if word.isdigit()), 1)
        action = next((word for word in words if word in _ACTIONS), "kill")
        _armed[name] = (passage, action)


def failpoint(name: str) -> None:
    """Do what the point `name` is armed for, if it is and this is its passage."""
    if _armed and _due(name) and _act(name) == "stall":
        time.sleep(_STALL_S)


async def afailpoint(name: str) -> None:
    """The same inside a coroutine: a stall leaves the event loop running."""
    if _armed and _due(name) and _act(name) == "stall":
        await asyncio.sleep(_STALL_S)


def _due(name: str) -> bool:
    if name not in _armed:
        return False
    passage, action = _armed[name]
    _armed[name] = (passage - 1, action)
    return passage == 1


def _act(name: str) -> str:
    action = _armed[name][1]
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if action == "raise":
        raise FailpointHit(name)
    return action


arm(os.environ.get("HOLDFAST_FAILPOINT", ""))
