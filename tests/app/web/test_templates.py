"""House rules of the templates, over every file, and every sample drawn whole and in parts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.core.paths import STATIC, TEMPLATES
from tests.app.web import samples
from tests.app.web.face import asking, browser, person

FILES = sorted(TEMPLATES.rglob("*.html"))
NAMES = [file.relative_to(TEMPLATES).as_posix() for file in FILES]
ROOM = {f"accounts/{name}.html" for name in ("login", "setup", "join", "second", "reset")}
_TAG = re.compile(r"<[a-zA-Z][^<>]*(?:\{\{.*?\}\}[^<>]*)*>", re.DOTALL)


def _text(file: Path) -> str:
    return re.sub(r"\{#.*?#\}", "", file.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_template_begins_by_saying_what_it_is_and_needs(file: Path) -> None:
    first = file.read_text("utf-8").split("#}")[0]
    assert first.startswith("{# ")
    assert re.search(r"\b[Nn]eeds\b", first), "say what it needs, even if nothing"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_inline_script_style_or_handler(file: Path) -> None:
    text = _text(file)
    assert not re.search(r"<style\b", text)
    assert not re.search(r"""\sstyle=["']""", text)
    assert not re.search(r"""\son[a-z]+=["']""", text)
    assert "hx-on" not in text
    assert "javascript:" not in text
    assert not re.search(r"<script\b(?![^>]*\bsrc=)", text)
    assert not re.search(r"\|\s*safe\b", text)
    assert "autoescape false" not in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text), "nothing is loaded from outside"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_htmx_attributes_follow_the_rules(file: Path) -> None:
    for tag in _TAG.findall(_text(file)):
        names = set(re.findall(r"\s(hx-[\w:-]+)=", tag))
        if not names:
            continue
        assert 'hx-nonce="{{ csp_nonce }}"' in tag, tag
        assert not any(name.endswith(":inherited") for name in names), tag
        assert not names & {"hx-put", "hx-patch", "hx-delete", "hx-boost", "hx-vals"}, tag
        assert {"hx-target", "hx-swap"} <= names, tag
        assert 'hx-vals="js:' not in tag
        for trigger in re.findall(r'hx-trigger="([^"]*)"', tag):
            plain = re.sub(r"\{[{%].*?[}%]\}", "", trigger)
            assert "[" not in plain, f"no trigger filters: {tag}"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_forms_work_without_scripts(file: Path) -> None:
    for form in re.findall(r"<form\b[^>]*>", _text(file)):
        if 'method="dialog"' in form:
            continue
        assert re.search(r'method="(get|post)"', form), form
        assert "action=" in form, form
        posted, plain = re.search(r'hx-post="([^"]*)"', form), re.search(r'action="([^"]*)"', form)
        if posted:
            assert plain
            assert posted[1] == plain[1], "the same address with and without scripts"
            assert 'method="post"' in form


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_address_is_written_by_hand(file: Path) -> None:
    assert not re.findall(r"""(?:href|src|action|hx-get|hx-post)="/""", _text(file))


def test_every_template_that_is_a_page_has_a_sample() -> None:
    pages = {name for name in NAMES if not Path(name).name.startswith("_")} - {"layout.html"}
    mine = {name for name in pages if name.split("/")[0] in {"tickets", "ops", "accounts"}}
    top = {name for name in pages if "/" not in name}
    assert (mine | top) <= {sample.template for sample in samples.ALL.values()}


def test_blocks_that_fragments_ask_for_are_named_in_the_first_comment() -> None:
    for sample in samples.ALL.values():
        first = (TEMPLATES / sample.template).read_text("utf-8").split("#}")[0]
        for block in sample.blocks or ():
            assert block in first, f"{sample.template} does not mention {block}"


@pytest.mark.anyio
@pytest.mark.parametrize("name", samples.ALL)
async def test_every_sample_is_a_sound_page(name: str) -> None:
    user = None if samples.ALL[name].template in ROOM else person()
    async with browser(user) as web:
        answer = await web.get(f"/show/{name}")
    assert answer.status_code == 200, answer.text[-500:]
    page = _Page(answer.text)
    assert page.twice == set(), "an id stands for one element"
    assert page.dangling == set(), "labels, descriptions and targets name elements that are there"
    assert page.unlabelled == [], "every control has a name"
    assert "<b>Fischer</b>" not in answer.text
    assert "hush-hush" not in answer.text, "a password is never sent back"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "block"),
    [(name, block) for name, sample in samples.ALL.items() for block in sample.blocks or ()],
)
async def test_every_block_stands_alone_as_one_element_with_its_id(name: str, block: str) -> None:
    user = None if samples.ALL[name].template in ROOM else person()
    target = block.replace("_", "-")
    async with browser(user) as web:
        answer = await web.get(f"/show/{name}", headers=asking(target))
    assert answer.status_code == 200, answer.text[-500:]
    parts = _Page(answer.text)
    assert len(parts.roots) == 1, parts.roots
    assert parts.roots[0] == target
    assert 'hx-nonce=""' not in answer.text


@pytest.mark.anyio
@pytest.mark.feature("X-60")
async def test_a_chart_has_a_name_a_description_and_its_numbers_as_a_table() -> None:
    async with browser(person()) as web:
        text = (await web.get("/show/queue")).text
    chart = text[text.index('id="throughput"') : text.index('id="waiting"')]
    assert re.search(r'<svg[^>]*role="img"[^>]*aria-labelledby="chart-done-t chart-done-d"', chart)
    assert '<title id="chart-done-t">' in chart
    assert '<desc id="chart-done-d">' in chart
    table = chart[chart.index("<details") :]
    assert "10:01" in table
    assert "1,234" in table
    plot = chart[chart.index('role="img"') :]
    bars = [float(high) for high in re.findall(r'<rect class="b1"[^>]*height="([\d.]+)"', plot)]
    assert bars[1] > bars[0] > bars[2] > 0
    assert bars[1] <= 100


def test_style_sheets_wrap_themselves_and_stay_small() -> None:
    for sheet in (STATIC / "css").glob("*.css"):
        text = sheet.read_text("utf-8")
        assert text.lstrip().startswith("@layer"), sheet.name
        assert "!important" not in text, sheet.name
        assert "url(" not in text, sheet.name
        assert len(text.splitlines()) <= 250, sheet.name


class _Page(HTMLParser):
    """Ids, what refers to them, and what stands at the top."""

    VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})
    POINTERS = ("for", "aria-labelledby", "aria-describedby", "popovertarget", "commandfor", "list")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.wanted: set[str] = set()
        self.roots: list[str | None] = []
        self.unlabelled: list[str] = []
        self._controls: list[dict[str, str | None]] = []
        self._inside: list[str] = []
        self._labels: set[str] = set()
        self._wrapped: set[int] = set()
        self.feed(text)
        self.close()
        for place, control in enumerate(self._controls):
            named = control.get("aria-label") or control.get("aria-labelledby")
            if not named and place not in self._wrapped and control.get("id") not in self._labels:
                self.unlabelled.append(str(control))

    @property
    def twice(self) -> set[str]:
        return {name for name in self.ids if self.ids.count(name) > 1}

    @property
    def dangling(self) -> set[str]:
        return self.wanted - set(self.ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if not self._inside:
            self.roots.append(given.get("id"))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        for pointer in self.POINTERS:
            self.wanted |= set((given.get(pointer) or "").split())
        if tag == "label" and given.get("for"):
            self._labels.add(str(given["for"]))
        control = tag in {"select", "textarea"} or (
            tag == "input" and given.get("type") != "hidden"
        )
        if control and "hidden" not in given:
            if "label" in self._inside:
                self._wrapped.add(len(self._controls))
            self._controls.append(given)
        if tag not in self.VOID:
            self._inside.append(tag)

    def handle_startendtag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._inside:
            self.roots.append(dict(attrs).get("id"))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass
