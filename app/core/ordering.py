"""The order of a list: a word from the address picks one of the orders that a service offers."""

from collections.abc import Mapping

import msgspec


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """How far a list that stands still has come: its newest row, and how many came after it."""

    newest: str = ""
    newer: int = 0


def order_by(sort: str, orders: Mapping[str, tuple[str, ...]], usual: str) -> str:
    """The text after ORDER BY. `sort`: a key of `orders`, `-` in front turns it round.

    Each order is columns without directions; a key that nobody offers is the usual one.
    """
    key = sort.removeprefix("-")
    if key not in orders:
        return order_by(usual, orders, usual)
    way = "DESC" if sort.startswith("-") else "ASC"
    return ", ".join(f"{column} {way}" for column in orders[key])
