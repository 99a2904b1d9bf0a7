"""The code picture of a ticket page: finding it, reading it, and making a clean PNG of it.

Reading needs the extra `codes` (zxing-cpp and Pillow). Without it a picture of the right size
counts, unread.
"""

import base64
import binascii
import functools
import hashlib
import io
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from selectolax.lexbor import LexborNode

from app.tickets.paper.page import Asset, Page, attribute, resolve

try:  # the extra `codes`
    import zxingcpp
    from PIL import Image
except ImportError:  # pragma: no cover - both ways are run by the tests in processes of their own
    zxingcpp = None  # type: ignore[assignment]
    Image = None  # type: ignore[assignment]

SMALLEST_PX: Final = 100
SMALLEST_BYTES: Final = 500
MOST_PIXELS: Final = 25_000_000
MOST_PICTURES: Final = 20
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[^,;]*)*),(.*)", re.S | re.I)
_PNG: Final = b"\x89PNG\r\n\x1a\n"


class Code(msgspec.Struct, frozen=True):
    """A code picture. `format` and `hash` are empty if it was not read, `png` if it is no PNG."""

    format: str = ""
    hash: str = ""
    png: bytes = b""


def can_read() -> bool:
    """Whether the extra is installed."""
    return zxingcpp is not None


def find_code(page: Page, assets: Mapping[str, Asset], *, drawn: bool = False) -> Code | None:
    """The page's code: the first that can be read, else the first picture that looks like one.

    `drawn` says that scripts ran, so that a canvas may hold a picture.
    """
    looks: Code | None = None
    for data in _pictures(page, assets):
        code = read_code(data)
        if code is not None:
            return code
        if looks is None:
            looks = Code(png=data if data.startswith(_PNG) else b"")
    if looks is None and (_has_drawing(page) or (drawn and page.has("canvas"))):
        looks = Code()
    return looks


@functools.lru_cache(maxsize=4)  # the driver and the validator ask about the same picture
def read_code(data: bytes) -> Code | None:
    """The Aztec, QR or DataMatrix code in a picture, with a clean PNG of the picture."""
    if zxingcpp is None or not data:
        return None
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            grey = _on_white(picture).convert("L")
            found = _read(grey)
            if found is None:
                return None
            out = io.BytesIO()
            grey.save(out, "PNG")
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        return None
    return Code(
        str(found.format.name), hashlib.sha256(bytes(found.bytes)).hexdigest(), out.getvalue()
    )


def data_url(text: str) -> Asset | None:
    """The content of a `data:` address; None if it is none."""
    match = _DATA_URL.fullmatch(text.strip())
    if match is None:
        return None
    body = unquote_to_bytes(match[3])
    if ";base64" in match[2].lower():
        try:
            body = base64.b64decode(b"".join(body.split()) + b"==")
        except binascii.Error:
            return None
    return Asset((match[1] or "text/plain").lower(), body)


def _read(grey: Any) -> Any:
    wanted = (
        zxingcpp.BarcodeFormat.Aztec,
        zxingcpp.BarcodeFormat.QRCode,
        zxingcpp.BarcodeFormat.DataMatrix,
    )
    found = zxingcpp.read_barcodes(grey, formats=zxingcpp.BarcodeFormats(list(wanted)))
    return next((item for item in found if item.valid and item.bytes), None)


def _on_white(picture: Any) -> Any:
    if picture.mode not in {"RGBA", "LA", "PA", "P"}:
        return picture
    layer = picture.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer)


def _pictures(page: Page, assets: Mapping[str, Asset]) -> Iterator[bytes]:
    """The bytes of pictures that may be a code, inline ones first as they stand."""
    seen = 0
    for node in page.tree.css("img[src]"):
        source = attribute(node, "src")
        inline = data_url(source) if source[:5].lower() == "data:" else None
        asset = inline or assets.get(resolve(page.base_url, source))
        if asset is None or seen >= MOST_PICTURES:
            continue
        if (inline and len(inline.data) >= SMALLEST_BYTES) or _large(node, asset.data):
            seen += 1
            yield asset.data


def _large(node: LexborNode, data: bytes) -> bool:
    """At least 100 px both ways and about square: a logo in a header is neither."""
    width, height = _pixels(node, "width"), _pixels(node, "height")
    if not (width and height):
        size = picture_size(data)
        width, height = size or (width or height, width or height)
    return min(width, height) >= SMALLEST_PX and 0.5 <= width / height <= 2


def _has_drawing(page: Page) -> bool:
    for node in page.tree.css("svg"):
        box = attribute(node, "viewBox").replace(",", " ").split()
        width, height = _pixels(node, "width"), _pixels(node, "height")
        if not (width and height) and len(box) == 4:
            width, height = _number(box[2]), _number(box[3])
        shapes = node.css("path, rect, polygon, image, use")
        if shapes and min(width, height) >= SMALLEST_PX and 0.5 <= width / height <= 2:
            return True
    return False


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from a picture's first bytes (PNG, GIF, BMP); None for others."""
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
    elif data[:6] in {b"GIF87a", b"GIF89a"} and len(data) >= 10:
        width, height = struct.unpack("<HH", data[6:10])
    elif data[:2] == b"BM" and len(data) >= 26:
        width, height = struct.unpack("<ii", data[18:26])
        width, height = abs(width), abs(height)
    else:
        return None
    return (width, height) if width and height else None


def _pixels(node: LexborNode, name: str) -> int:
    style = re.search(rf"(?:^|;|\s){name}\s*:\s*(\d+)", attribute(node, "style"))
    return _number(style[1] if style else attribute(node, name).removesuffix("px"))


def _number(text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 0
