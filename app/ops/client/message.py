"""What is sent: a notice in words, or several as one."""

from typing import Literal

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the same at every attempt; `url` is empty where our own address is not known."""

    id: str
    kind: str
    level: Literal["info", "good", "warn", "error"]
    title: str
    text: str
    url: str
    at: str
