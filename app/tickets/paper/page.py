"""One HTML page as it came in: its bytes, how they are read, and its tree."""

import html
import re
import unicodedata
from collections.abc import Mapping
from functools import cached_property
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec
from selectolax.lexbor import LexborHTMLParser, LexborNode

_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_META: Final = re.compile(rb"""<meta[^>]{0,300}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.I)
# Labels a page may name: none of Python's own codecs (zlib, rot13, idna, ...) can be asked for.
_LABEL: Final = re.compile(
    r"(?:x-)?(?:utf-?8|utf-?16(?:le|be)?|iso-?8859-?\d{1,2}|latin-?1|windows-?125\d|cp-?125\d"
    r"|us-ascii|ascii|koi8-[ru])"
)
# WHATWG: these names mean windows-1252 on the web.
_AS_1252: Final = frozenset({"iso-8859-1", "iso8859-1", "latin1", "latin-1", "us-ascii", "ascii"})

# What holds no words for a person. Raw-text elements go whole: `_TAGS` reads escaped text only.
_UNSEEN: Final = (
    *("script", "style", "noscript", "template", "iframe", "object", "embed", "noembed"),
    *("noframes", "xmp", "plaintext"),
)
# Written as a tree of letters: an alternation of whole names is tried name by name at every tag.
_INLINE: Final = (
    "a(?:bbr|cronym)?|b(?:d[io]|ig)?|c(?:ite|ode)|d(?:ata|el|fn)|em|font|i(?:ns)?|kbd|label|mark|q"
    "|r(?:[pt]|uby)|s(?:amp|mall|pan|trike|trong|u[bp])?|t(?:ime|t)|u|var|wbr"
)
_REST: Final = r"""[^>"]*(?:"[^"]*"[^>"]*)*>"""
_COMMENTS: Final = re.compile(r"<!--.*?-->|<!doctype[^>]*>", re.S | re.I)
_WITHIN: Final = re.compile(rf"</?(?:{_INLINE})(?:\s{_REST}|>)")
_TAGS: Final = re.compile(rf"</?[a-zA-Z]{_REST}")


class Asset(msgspec.Struct, frozen=True):
    """A stylesheet, picture or font of a page."""

    media_type: str
    data: bytes


class Page:
    """A fetched page. The tree belongs to the page: whoever changes it takes `fresh_tree()`."""

    def __init__(
        self, url: str, raw: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self.raw = raw
        self.status = status
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}

    @cached_property
    def address(self) -> SplitResult:
        """The page's own address in parts."""
        return urlsplit(self.url)

    @property
    def media_type(self) -> str:
        """The content type without its parameters, lower case; empty if none was sent."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_html(self) -> bool:
        """Whether this is a page: said so, or nothing said and it begins like one."""
        if self.media_type:
            return self.media_type in {"text/html", "application/xhtml+xml"}
        return self.raw[:512].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")

    @cached_property
    def charset(self) -> str:
        """How the bytes are read: byte order mark, header, meta element, else UTF-8."""
        for mark, name in _BOMS:
            if self.raw.startswith(mark):
                return name
        sent = re.search(r"charset\s*=\s*[\"']?([^\s\"';]+)", self.headers.get("content-type", ""))
        meta = _META.search(self.raw[:4096])
        named = (sent and sent[1], meta and meta[1].decode("ascii", "replace"))
        return next((known for name in named if name and (known := _codec(name))), "utf-8")

    @cached_property
    def text(self) -> str:
        """The whole source as text; bytes that fit nothing become U+FFFD."""
        text = self.raw.decode(self.charset, "replace").removeprefix("\ufeff")
        return text.encode("utf-8", "replace").decode("utf-8")

    @cached_property
    def tree(self) -> LexborHTMLParser:
        """The page as a browser without scripts reads it."""
        return self.fresh_tree()

    def fresh_tree(self) -> LexborHTMLParser:
        """A tree of one's own, to be changed."""
        return LexborHTMLParser(self.text)

    @cached_property
    def base_url(self) -> str:
        """What relative addresses are relative to."""
        base = self.tree.css_first("base[href]")
        return (resolve(self.url, attribute(base, "href")) if base else "") or self.url

    @cached_property
    def lines(self) -> list[str]:
        """What a person reads, one line per block element, NFC, single spaces, no empty lines."""
        low = self.text.lower()
        unseen = [tag for tag in _UNSEEN if f"<{tag}" in low]
        tree = self.tree
        if unseen:
            tree = self.fresh_tree()
            tree.strip_tags(unseen, recursive=True)
        # The parser's own output: quotes in attributes and signs in text are escaped, so that one
        # pattern can tell tags from words.
        source = _COMMENTS.sub("", tree.html or "").replace("\n", " ")
        broken = _TAGS.sub("\n", _WITHIN.sub("", source))
        text = unicodedata.normalize("NFC", html.unescape(broken))
        return [" ".join(line) for line in map(str.split, text.split("\n")) if line]

    @cached_property
    def words(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines)

    def has(self, selector: str) -> bool:
        """Whether any element matches."""
        return self.tree.css_first(selector) is not None

    def first_text(self, selector: str) -> str:
        """The text of the first match in one line; empty if there is none."""
        node = self.tree.css_first(selector)
        return squeeze(node.text(deep=True)) if node else ""


def attribute(node: LexborNode, name: str) -> str:
    """An attribute's value; empty if it is missing or has none."""
    return node.attributes.get(name) or ""


def squeeze(text: str) -> str:
    """All runs of whitespace as one space, none at the ends."""
    return " ".join(text.split())


def resolve(base: str, reference: str) -> str:
    """An absolute address as a browser makes it; empty if it cannot be one."""
    cleaned = reference.strip("\x00\t\n\x0c\r ").translate({9: None, 10: None, 13: None})
    try:
        return urljoin(base, cleaned)
    except ValueError:
        return ""


def host_port(url: SplitResult) -> str:
    """`host:port` in lower case with the scheme's own port filled in; empty if there is none."""
    try:
        port = url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
    except ValueError:  # a port that is no number
        return ""
    host = (url.hostname or "").rstrip(".")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else ""


def _codec(label: str) -> str | None:
    name = label.strip().lower()
    if name in _AS_1252:
        return "cp1252"
    return name.removeprefix("x-") if _LABEL.fullmatch(name) else None
