"""Sixty texts that want to be more than text, and who looks whether one of them became it."""

from html.parser import HTMLParser

# Those that run by themselves in Chromium where nobody escapes them: the control says so of each.
LIVE = [
    "</script><script>window.pwn=1</script>",
    "<img src=x onerror=window.pwn=1>",
    "<svg/onload=window.pwn=1>",
    "<svg><script>window.pwn=1</script></svg>",
    "<iframe srcdoc='<script>parent.pwn=1</script>'>",
    "<details open ontoggle=window.pwn=1>",
    "<video><source onerror=window.pwn=1></video>",
    "<audio src=x onerror=window.pwn=1>",
    "<svg><animate onbegin=window.pwn=1 attributeName=x dur=1s>",
    "<style onload=window.pwn=1></style>",
    "<body onload=window.pwn=1>",
    "<object data=x onerror=window.pwn=1>",
    "<iframe onload=window.pwn=1>",
    '"><img/src/onerror=window.pwn=1>',
    "<IMG SRC=x OnErRoR=&#119;indow.pwn=1>",
]
PAYLOADS = [
    *LIVE,
    # an element, out of text and out of attributes
    "<pwn>",
    "</title><pwn onpwn=1>",
    '"><pwn onpwn=1>',
    "'><pwn onpwn=1>",
    '" onpwn="1',
    "' onpwn='1",
    "`onpwn=1",
    '" autofocus onfocus=pwn(1) x="',
    "</textarea><pwn>",
    "</datalist></select><pwn>",
    "</style><pwn>",
    "</noscript><pwn>",
    "</template><pwn>",
    "<<pwn>",
    "<pwn\n/onpwn\n=\n1>",
    # comments and sections
    "<!--<pwn>",
    "--><pwn>",
    "--!><pwn>",
    "]]><pwn>",
    "<![CDATA[<pwn>]]>",
    "<?xml-stylesheet href='javascript:pwn(1)'?><pwn>",
    # addresses
    "javascript:window.pwn=1",
    "<a href=javascript:window.pwn=1>x</a>",
    "<a href='jav&#x09;ascript:pwn(1)'>x</a>",
    "<form action=//evil.example><pwn>",
    "<button formaction=javascript:pwn(1)>x</button>",
    "<base href=//evil.example><pwn>",
    "<meta http-equiv=refresh content=0;//evil.example><pwn>",
    "<embed src='data:text/html,pwn'>",
    "<svg><a xlink:href=javascript:pwn(1)><text y=9>x",
    "<svg><use href='data:image/svg+xml,pwn#x'></svg>",
    # what a parser turns into something else when it reads its own words again
    "<math><mi//xlink:href='data:x,pwn'>",
    "<noscript><p title='</noscript><pwn>'>",
    "<svg></p><style><a id='</style><pwn>'>",
    "<math><mtext><table><mglyph><style><!--</style><pwn>",
    # other spellings
    "&lt;pwn&gt;",
    "&#60;pwn&#62;",
    "%3Cpwn%3E",
    "\\u003cpwn\\u003e",
    "＜pwn＞<pwn>",
    "+ADw-pwn+AD4-",
    # words of our tools: htmx, templates, format strings, Trusted Types, sheets
    "<i hx-get=/pwn hx-trigger=load>",
    "<i hx-on:load=window.pwn=1>",
    "{{ 7*191 }}{% include 'x' %}${7*191}%(pwn)s{pwn}",
    "<script>trustedTypes.createPolicy('default',{})</script>",
    '=HYPERLINK("//evil.example/pwn","pwn")',
]
GROWN = {
    *("pwn", "iframe", "base", "math", "mi", "style", "video", "audio", "object", "embed"),
    *("animate", "marquee", "noscript"),
}
_LINKS = {"href", "src", "action", "formaction", "xlink:href", "data"}


class Reader(HTMLParser):
    """Notes elements and attributes that no template of ours has, and all that is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.grown: list[str] = []
        self.shown = ""
        self._script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        if tag in GROWN:
            self.grown.append(tag)
        for name, value in attrs:
            text = "".join((value or "").split()).lower()
            if name.startswith(("on", "hx-on")) or name in ("style", "srcdoc") or text == "/pwn":
                self.grown.append(name)
            if name in _LINKS and text.startswith(("javascript:", "data:", "//")):
                self.grown.append(f"{name}={value}")
            self.shown += f"{value}\n"
        if tag == "meta" and dict(attrs).get("http-equiv"):
            self.grown.append("meta")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.grown.append("script text")
        self.shown += data

    def handle_comment(self, data: str) -> None:
        if "pwn" in data:
            self.grown.append("comment")

    def handle_pi(self, data: str) -> None:
        self.grown.append(f"instruction {data}")

    def unknown_decl(self, data: str) -> None:
        self.grown.append(f"section {data}")

    def handle_endtag(self, _tag: str) -> None:
        self._script = False


def packed(longest: int = 200) -> list[str]:
    """All of them in few texts, none of them cut."""
    texts = [""]
    for one in PAYLOADS:
        if len(texts[-1]) + len(one) >= longest:
            texts.append("")
        texts[-1] += f" {one}" if texts[-1] else one
    return texts
