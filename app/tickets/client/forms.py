"""Forms as a browser without scripts sends them (WHATWG HTML, "Form submission"). Sends nothing."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final
from urllib.parse import quote_plus, urlsplit, urlunsplit

import msgspec
from selectolax.lexbor import LexborNode

from app.tickets.paper.page import Page, attribute, resolve, squeeze

_SUBMITS: Final = frozenset({"submit", "image"})
_TEXTUAL: Final = frozenset({"text", "email", "search", "tel", "url"})
_ONE_LINE: Final = frozenset({*_TEXTUAL, "password"})
_INPUT_TYPES: Final = frozenset(
    {
        *_ONE_LINE,
        *_SUBMITS,
        *("hidden", "date", "month", "week", "time", "datetime-local", "number", "range", "color"),
        *("checkbox", "radio", "file", "reset", "button"),
    }
)


class Submission(msgspec.Struct, frozen=True):
    """A request that a form makes. `body` is None for GET."""

    method: str
    url: str
    body: bytes | None


class Control:
    """One field or button of a form."""

    def __init__(self, node: LexborNode) -> None:
        self.node = node
        self.tag = node.tag or ""

    @property
    def name(self) -> str:
        """Its name; empty means it is never sent."""
        return attribute(self.node, "name")

    @cached_property
    def type(self) -> str:
        """Its type as a browser understands it: unknown inputs are text, bare buttons submit."""
        said = attribute(self.node, "type").lower()
        if self.tag == "input":
            return said if said in _INPUT_TYPES else "text"
        if self.tag == "button":
            return said if said in {"reset", "button"} else "submit"
        return self.tag

    @property
    def value(self) -> str:
        """The value it would send as it stands."""
        if self.tag == "textarea":
            return (self.node.text(deep=True) or "").removeprefix("\n")
        value = self.node.attributes.get("value")
        if self.type in {"checkbox", "radio"}:
            return "on" if value is None else value
        text = value or ""
        return text.replace("\n", "").replace("\r", "") if self.type in _ONE_LINE else text

    @property
    def label(self) -> str:
        """What a button says."""
        said = attribute(self.node, "value") if self.tag == "input" else self.node.text(deep=True)
        return squeeze(said or attribute(self.node, "value"))

    @property
    def is_submit(self) -> bool:
        """Whether pressing it sends the form."""
        return self.tag in {"input", "button"} and self.type in _SUBMITS

    @property
    def is_text(self) -> bool:
        """Whether a person types one visible line here."""
        return self.tag == "input" and self.type in _TEXTUAL

    @property
    def checked(self) -> bool:
        """Whether its box is ticked."""
        return "checked" in self.node.attributes

    @cached_property
    def disabled(self) -> bool:
        """Disabled itself or by a fieldset around it (a fieldset's first legend stays usable)."""
        if "disabled" in self.node.attributes:
            return True
        inner, outer = self.node, self.node.parent
        legend: LexborNode | None = None
        while outer is not None:
            if inner.tag == "legend":
                legend = inner
            if outer.tag == "datalist":
                return True
            if outer.tag == "fieldset" and "disabled" in outer.attributes:
                first = next((child for child in outer.iter() if child.tag == "legend"), None)
                if legend is None or first is None or first.mem_id != legend.mem_id:
                    return True
            inner, outer = outer, outer.parent
        return False

    def choices(self) -> list[str]:
        """The values a select sends as it stands."""
        options = self.node.css("option")
        chosen = [option for option in options if "selected" in option.attributes]
        if "multiple" not in self.node.attributes:
            usable = [option for option in options if not _off(option)]
            chosen = chosen[-1:] or usable[:1]
        return [_option_value(option) for option in chosen if not _off(option)]


class Form:
    """A form of a page with the controls that belong to it, in the order of the tree."""

    def __init__(self, page: Page, node: LexborNode, controls: list[Control]) -> None:
        self.page = page
        self.node = node
        self.controls = controls

    @property
    def id(self) -> str:
        """The form's id; empty if it has none."""
        return attribute(self.node, "id")

    def named(self, *names: str) -> Control | None:
        """The first usable control with one of these names or ids."""
        wanted = set(names)
        return next(
            (
                control
                for control in self.controls
                if not control.disabled and {control.name, attribute(control.node, "id")} & wanted
            ),
            None,
        )

    def of_type(self, *types: str) -> list[Control]:
        """The usable controls of these types."""
        return [item for item in self.controls if item.type in types and not item.disabled]

    def submits(self) -> list[Control]:
        """The buttons that send the form and can be pressed; the first is the one Enter presses."""
        return [item for item in self.controls if item.is_submit and not item.disabled]

    def entries(
        self,
        submitter: Control | None = None,
        *,
        fill: Mapping[str, str] | None = None,
        tick: Iterable[str] = (),
        choose: Mapping[str, str] | None = None,
    ) -> list[tuple[str, str]]:
        """Name and value of all that is sent.

        `fill` types into fields by name, `tick` checks boxes by name, `choose` picks the value of a
        radio group by name.
        """
        typed, ticked, chosen = fill or {}, set(tick), choose or {}
        found: list[tuple[str, str]] = []
        for control in self.controls:
            if control.disabled or (control.is_submit and not _same(control, submitter)):
                continue
            found += _entries_of(control, typed, ticked, chosen)
        return found

    def submission(
        self,
        submitter: Control | None = None,
        *,
        fill: Mapping[str, str] | None = None,
        tick: Iterable[str] = (),
        choose: Mapping[str, str] | None = None,
        extra: Iterable[tuple[str, str]] = (),
    ) -> Submission:
        """The request this form makes when `submitter` is pressed (None: sent by a script)."""
        entries = [*self.entries(submitter, fill=fill, tick=tick, choose=choose), *extra]
        method, url = self.method(submitter), self.action(submitter)
        encoded = encode(entries)
        if method == "GET":
            parts = urlsplit(url)
            return Submission("GET", urlunsplit((*parts[:3], encoded, "")), None)
        return Submission("POST", url, encoded.encode("ascii"))

    def method(self, submitter: Control | None = None) -> str:
        """GET or POST; anything else a page may say means GET."""
        said = attribute(submitter.node, "formmethod") if submitter else ""
        return "POST" if (said or attribute(self.node, "method")).lower() == "post" else "GET"

    def action(self, submitter: Control | None = None) -> str:
        """Where it goes: the button's address, the form's, else the page's (never the base's)."""
        said = attribute(submitter.node, "formaction") if submitter else ""
        action = (said or attribute(self.node, "action")).strip()
        return resolve(self.page.base_url, action) if action else self.page.url


def forms_of(page: Page) -> list[Form]:
    """All forms of the page in order."""
    nodes = page.tree.css("form")
    owned: dict[int, list[Control]] = {node.mem_id: [] for node in nodes}
    by_id: dict[str, LexborNode] = {}
    for node in nodes:
        by_id.setdefault(attribute(node, "id"), node)
    for node in page.tree.css("input, select, textarea, button"):
        owner = _owner(node, by_id)
        if owner is not None:
            owned[owner.mem_id].append(Control(node))
    return [Form(page, node, owned[node.mem_id]) for node in nodes]


def encode(entries: Iterable[tuple[str, str]]) -> str:
    """application/x-www-form-urlencoded, UTF-8, line ends as CRLF."""
    return "&".join(f"{_quote(name)}={_quote(value)}" for name, value in entries)


def _owner(node: LexborNode, by_id: Mapping[str, LexborNode]) -> LexborNode | None:
    if "form" in node.attributes:  # an unknown id means: no form at all
        return by_id.get(attribute(node, "form")) if attribute(node, "form") else None
    parent = node.parent
    while parent is not None and parent.tag != "form":
        parent = parent.parent
    return parent


def _same(control: Control, submitter: Control | None) -> bool:
    return submitter is not None and control.node.mem_id == submitter.node.mem_id


def _entries_of(
    control: Control, fill: Mapping[str, str], tick: set[str], choose: Mapping[str, str]
) -> list[tuple[str, str]]:
    name, kind = control.name, control.type
    if kind == "image":
        prefix = f"{name}." if name else ""
        return [(f"{prefix}x", "0"), (f"{prefix}y", "0")]
    if not name or kind in {"reset", "button"}:
        return []
    if kind == "checkbox":
        return [(name, control.value)] if control.checked or name in tick else []
    if kind == "radio":
        wanted = control.value == choose[name] if name in choose else control.checked
        return [(name, control.value)] if wanted else []
    if kind == "select":
        return [(name, value) for value in control.choices()]
    if kind == "file":
        return [(name, "")]
    if kind == "hidden" and name.lower() == "_charset_":
        return [(name, "UTF-8")]
    return [(name, fill.get(name, control.value))]


def _off(option: LexborNode) -> bool:
    group = option.parent
    return "disabled" in option.attributes or (
        group is not None and group.tag == "optgroup" and "disabled" in group.attributes
    )


def _option_value(option: LexborNode) -> str:
    if "value" in option.attributes:
        return attribute(option, "value")
    return squeeze(option.text(deep=True))


def _quote(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    whole = "".join("\ufffd" if 0xD800 <= ord(sign) <= 0xDFFF else sign for sign in lines)
    return quote_plus(whole, safe="*").replace("~", "%7E")
