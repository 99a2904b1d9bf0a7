"""UUIDv7 as text: keys that sort by the time they were made, so new rows append to their index."""

import secrets
import threading

from db import clock

_lock = threading.Lock()
_last = 0  # the 60 leading bits last given out: 48 of milliseconds, 12 of a counter


def uuid7() -> str:
    """A new key, greater than every one this process gave out before, also after a step back.

    Layout: RFC 9562, section 5.7 with a counter in `rand_a` (method 1 of section 6.2).
    """
    global _last  # noqa: PLW0603 - the order is a property of the process
    with _lock:
        _last = max(_last + 1, clock.ms() << 12 | secrets.randbits(10))
        head = _last
    tail = 0b10 << 62 | secrets.randbits(62)
    value = (head >> 12) << 80 | 0x7 << 76 | (head & 0xFFF) << 64 | tail
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
