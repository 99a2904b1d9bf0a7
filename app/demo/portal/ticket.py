"""The ticket itself: who, when, which number, and a code picture that a scanner can read."""

import hashlib
import io
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

import segno

from app.demo.portal.people import LAST, Person
from app.demo.portal.state import BERLIN, Visit

CODE_BYTES = 200


@dataclass(frozen=True)
class Ticket:
    """What is printed on one month's ticket."""

    person: Person
    name: str
    first: date
    last: date
    salt: str = ""

    @property
    def number(self) -> str:
        """Another one for every person and month."""
        return f"NVV-{self.first:%Y%m}-{self.person.number:06}"

    @property
    def code(self) -> bytes:
        """The bytes of the code: the same for one person in one month, unless salted."""
        seed = f"{self.person.login}|{self.first:%Y-%m}|{self.salt}".encode()
        blocks = [hashlib.sha256(seed + bytes([i])).digest() for i in range(CODE_BYTES // 32 + 1)]
        return (b"#UT01" + self.number.encode() + b"|" + b"".join(blocks))[:CODE_BYTES]


def make_ticket(visit: Visit, person: Person, now: datetime, salt: str) -> Ticket:
    """The ticket this visit is shown: this month's by the portal's clock, bent by the scenario."""
    today = now.astimezone(BERLIN).date()
    if visit.has("next_month"):
        today = add_months(today, int(visit.param("months", 1)))
    if visit.has("expired"):
        today = add_months(today, -int(visit.param("months", 1)))
    if visit.has("foreign_ticket"):
        person = Person(int(visit.param("other", person.number % LAST + 1)))
    name = str(visit.param("holder", "Somebody Else")) if visit.has("wrong_name") else person.name
    first = today.replace(day=1)
    last = add_months(first, 1) - timedelta(days=1)
    return Ticket(person, name, first, last, salt if visit.has("code_rotates") else "")


def add_months(day: date, months: int) -> date:
    """The first day of the month so many months away."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


@lru_cache(maxsize=4096)
def code_png(content: bytes) -> bytes:
    """An Aztec code as PNG; without the extra `codes` a QR code, so the demo runs anywhere."""
    target = io.BytesIO()
    try:
        # here and not above: the extra `codes` may be missing
        import zxingcpp  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415
    except ImportError:
        segno.make_qr(content).save(target, kind="png", scale=4)
        return target.getvalue()
    picture = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.Aztec).to_image(scale=4)
    Image.fromarray(picture).save(target, "PNG")
    return target.getvalue()
