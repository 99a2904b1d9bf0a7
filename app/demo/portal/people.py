"""The students of the stand-in portal, all made up: `uk000001` to `uk009999`."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

LAST = 9999


@dataclass(frozen=True)
class Person:
    """One student; everything about them follows from the number."""

    number: int

    @property
    def login(self) -> str:
        """The university account, `uk000001` to `uk009999`."""
        return f"uk{self.number:06}"

    @property
    def password(self) -> str:
        """The one right password, `pw-1` for `uk000001`."""
        return f"pw-{self.number}"

    @property
    def name(self) -> str:
        """The name printed on the ticket."""
        return f"Test Person {self.number}"

    @property
    def born(self) -> date:
        """A birth date that makes a plausible student."""
        return date(1995, 1, 1) + timedelta(days=self.number * 37 % 3650)


def find_person(login: str) -> Person | None:
    """Case and blanks around the login do not matter, as at the real sign-in page."""
    match = re.fullmatch(r"uk(\d{6})", login.strip().lower())
    if match is None or not 1 <= int(match[1]) <= LAST:
        return None
    return Person(int(match[1]))
