"""The stored document: a harmless, self-contained copy of the ticket page, and its folder."""

import hashlib
import html
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from selectolax.lexbor import LexborNode

from app.core.files import inside, private_folder, sync_folder
from app.tickets.outcomes import Fault, Outcome
from app.tickets.paper.page import Asset, Page, attribute, resolve
from app.tickets.paper.styles import (
    PICTURES,
    VECTOR,
    Room,
    embedded,
    is_data,
    references,
    self_contained,
)
from db.failpoints import failpoint

RAW: Final = "raw.html"
VIEW: Final = "view.html"
CODE: Final = "barcode.png"
PDF: Final = "ticket.pdf"
FOLDER: Final = "tickets"
POLICY: Final = "; ".join(
    (
        *("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", "font-src data:"),
        "form-action 'none'",
    )
)
_DROPPED: Final = [
    *(
        "script",
        "iframe",
        "frame",
        "frameset",
        "object",
        "embed",
        "applet",
        "base",
        "meta",
        "noscript",
    ),
    *(
        "template",
        "audio",
        "video",
        "source",
        "track",
        "portal",
        "animate",
        "set",
        "animatetransform",
    ),
    *("animatemotion", "foreignobject", "use", "feimage", "dialog"),
]
_LINKS: Final = frozenset(
    {
        *(
            "href",
            "xlink:href",
            "src",
            "srcset",
            "imagesrcset",
            "poster",
            "background",
            "data",
            "action",
        ),
        *(
            "formaction",
            "ping",
            "cite",
            "longdesc",
            "lowsrc",
            "dynsrc",
            "manifest",
            "profile",
            "target",
        ),
        *(
            "codebase",
            "classid",
            "archive",
            "srcdoc",
            "usemap",
            "autofocus",
            "from",
            "to",
            "values",
            "by",
        ),
    }
)


def asset_urls(page: Page) -> list[str]:
    """The stylesheets, pictures and fonts the page asks for, in order, stylesheets first."""
    sheets = [attribute(node, "href") for node in _sheets(page.tree.css("link[href]"))]
    pictures = [
        attribute(node, "src") for node in page.tree.css("img[src], input[type=image][src]")
    ]
    inner = [
        url
        for text in (
            *(node.text(deep=True) for node in page.tree.css("style")),
            *(attribute(node, "style") for node in page.tree.css("[style]")),
        )
        for url in references(text)
    ]
    found = (
        resolve(page.base_url, url) for url in (*sheets, *pictures, *inner) if not is_data(url)
    )
    return list(dict.fromkeys(url.partition("#")[0] for url in found if url))


def css_urls(url: str, asset: Asset) -> list[str]:
    """What a stylesheet asks for in turn; nothing for other assets."""
    if asset.media_type != "text/css":
        return []
    text = asset.data.decode("utf-8", "replace")
    found = (resolve(url, reference) for reference in references(text) if not is_data(reference))
    return list(dict.fromkeys(reference.partition("#")[0] for reference in found if reference))


def make_view(page: Page, assets: Mapping[str, Asset]) -> bytes:
    """The page as one file that runs nothing, asks for nothing and sends nothing (UTF-8)."""
    tree = page.fresh_tree()
    title = page.first_text("title")
    room = Room()
    for node in _sheets(tree.css("link[href]")):
        url = resolve(page.base_url, attribute(node, "href")).partition("#")[0]
        asset = assets.get(url)
        if (
            asset is not None
            and asset.media_type == "text/css"
            and room.take_sheet(len(asset.data))
        ):
            text = self_contained(asset.data.decode("utf-8", "replace"), url, assets, room)
            style = tree.create_node("style")
            style.insert_child(text)
            node.replace_with(style)
    for node in tree.css("style"):
        text = self_contained(node.text(deep=True), page.base_url, assets, room)
        for child in list(node.iter(include_text=True)):
            child.decompose()
        node.insert_child(text)
    tree.strip_tags([*_DROPPED, "link"], recursive=True)
    for node in tree.css("*"):
        _clean(node, page.base_url, assets, room)
    body = tree.body.html if tree.body else ""
    styles = "".join(node.html or "" for node in tree.css("head style"))
    lang = attribute(tree.root, "lang") if tree.root else ""
    return (
        f'<!doctype html>\n<html lang="{_escape(lang)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_escape(title)}</title>{styles}</head>{body or '<body></body>'}</html>\n"
    ).encode("utf-8", "replace")


def content_hash(raw: bytes) -> str:
    """SHA-256 of the received bytes, hex: the name of the document's folder."""
    return hashlib.sha256(raw).hexdigest()


def store(
    data_dir: Path,
    user_id: str,
    raw: bytes,
    view: bytes,
    code_png: bytes = b"",
    *,
    pdf: bytes = b"",
) -> str:
    """Write the document's folder in one step and return the path of `raw.html` below `data_dir`.

    Safe to repeat: the folder is named by its content, and one that is there already stays. Raises
    a `Fault` (storage_error) if the disk is full or refuses; no half folder is left.
    """
    name = content_hash(raw)[:16]
    home = inside(data_dir, FOLDER, user_id)
    final = home / name
    files = {RAW: raw, VIEW: view, **{k: v for k, v in {CODE: code_png, PDF: pdf}.items() if v}}
    temp = home / f".{name}.{secrets.token_hex(8)}.tmp"
    try:
        private_folder(home)
        if not final.is_dir():
            private_folder(temp)
            for file_name, data in files.items():
                _write(temp / file_name, data)
            sync_folder(temp)
            failpoint("ticket_temp_written")
            _place(temp, final)
            sync_folder(home)
            sync_folder(home.parent)
        failpoint("ticket_renamed")
    except OSError as error:
        raise Fault(Outcome.STORAGE_ERROR, error.strerror or "") from error
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return f"{FOLDER}/{user_id}/{name}/{RAW}"


def remove(data_dir: Path, file_path: str) -> None:
    """Remove the folder of a stored document; nothing happens if it is gone."""
    folder = inside(data_dir, *Path(file_path).parts).parent
    shutil.rmtree(folder, ignore_errors=True)


def _place(temp: Path, final: Path) -> None:
    try:
        temp.rename(final)
    except OSError:
        if not final.is_dir():  # another run placed the same content first
            raise


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sheets(nodes: Iterable[LexborNode]) -> list[LexborNode]:
    return [node for node in nodes if "stylesheet" in attribute(node, "rel").lower().split()]


def _clean(node: LexborNode, base_url: str, assets: Mapping[str, Asset], room: Room) -> None:
    """Leave nothing that runs, loads or leads elsewhere; pictures become part of the file."""
    for name in list(node.attributes):
        lower = name.lower()
        if lower == "style":
            node.attrs["style"] = self_contained(attribute(node, "style"), base_url, assets, room)
        elif lower == "src" and _is_picture(node):
            _inline(node, base_url, assets, room)
        elif lower == "href" and node.tag == "a" and attribute(node, name).startswith("#"):
            continue
        elif lower.startswith("on") or lower in _LINKS:
            del node.attrs[name]


def _is_picture(node: LexborNode) -> bool:
    return node.tag == "img" or (node.tag == "input" and attribute(node, "type").lower() == "image")


def _inline(node: LexborNode, base_url: str, assets: Mapping[str, Asset], room: Room) -> None:
    found = embedded(attribute(node, "src"), base_url, assets, {*PICTURES, VECTOR}, room)
    if found:
        node.attrs["src"] = found
    else:
        del node.attrs["src"]


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
