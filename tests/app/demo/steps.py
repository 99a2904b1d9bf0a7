"""The steps of a person at the portal, written by hand and apart from the program's own client."""

from urllib.parse import urljoin

import httpx
from selectolax.lexbor import LexborHTMLParser, LexborNode

from app.demo.portal.serve import Portal

Fields = dict[str, str | list[str]]


def tree(page: httpx.Response) -> LexborHTMLParser:
    return LexborHTMLParser(page.text)


def text(page: httpx.Response) -> str:
    """What a person reads: no scripts, no styles."""
    parsed = tree(page)
    for node in parsed.css("script,style,template"):
        node.decompose()
    body = parsed.body
    return " ".join(body.text(separator=" ").split()) if body else ""


def has(page: httpx.Response, selector: str) -> bool:
    return tree(page).css_first(selector) is not None


def form(page: httpx.Response, containing: str = "form") -> tuple[str, Fields]:
    """Where the form that has `containing` goes, and its hidden and ticked fields."""
    found = next(
        f
        for f in tree(page).css("form")
        if containing == "form" or f.css_first(containing) is not None
    )
    fields: Fields = {}
    for node in found.css("input[type=hidden],input[checked]"):
        add(fields, node)
    return urljoin(str(page.url), found.attributes["action"] or ""), fields


def add(fields: Fields, node: LexborNode) -> None:
    name, value = str(node.attributes["name"]), node.attributes.get("value") or ""
    old = fields.get(name)
    if old is None:
        fields[name] = value
    else:
        fields[name] = [*(old if isinstance(old, list) else [old]), value]


async def press(
    client: httpx.AsyncClient, page: httpx.Response, containing: str = "form", **fields: str
) -> httpx.Response:
    """Fill and send the form that has `containing`."""
    action, values = form(page, containing)
    return await client.post(action, data=values | fields)


async def open_portal(client: httpx.AsyncClient, portal: Portal) -> httpx.Response:
    return await client.get(f"{portal.sp_url}/")


async def sign_in(
    client: httpx.AsyncClient,
    page: httpx.Response,
    password: str = "pw-1",
    login: str = "uk000001",
) -> httpx.Response:
    return await press(
        client,
        page,
        "#password",
        j_username=login,
        j_password=password,
        _eventId_proceed="",
    )


async def hand_over(client: httpx.AsyncClient, page: httpx.Response) -> httpx.Response:
    """Send the page that a script would send by itself."""
    return await press(client, page)


async def walk(
    client: httpx.AsyncClient,
    portal: Portal,
    password: str = "pw-1",
    login: str = "uk000001",
) -> httpx.Response:
    """From the front door as far as a patient person gets who agrees to everything."""
    page = await open_portal(client, portal)
    typed = False
    for _ in range(12):
        if has(page, "[name=SAMLResponse],[name=SAMLRequest]"):
            page = await hand_over(client, page)
        elif has(page, "[name^=shib_idp_ls_]"):
            page = await press(client, page, _eventId_proceed="")
        elif has(page, "#password") and not typed:
            typed = True
            page = await sign_in(client, page, password, login)
        elif has(page, "meta[http-equiv=refresh]") and "_eventId_proceed=1" in page.text:
            link = tree(page).css_first("a[href]")
            assert link is not None
            page = await client.get(urljoin(str(page.url), link.attributes["href"] or ""))
        elif has(page, "#tou-acceptance"):
            page = await press(
                client,
                page,
                "[name=_shib_idp_consentIds]",
                _shib_idp_consentIds="portal-terms",
                _eventId_proceed="Submit",
            )
        elif has(page, "#attributeRelease"):
            page = await press(
                client,
                page,
                _shib_idp_consentOptions="_shib_idp_doNotRememberConsent",
                _eventId_proceed="Accept",
            )
        elif has(page, "form[action='/consent']"):
            await press(client, page)
            page = await open_portal(client, portal)
        else:
            return page
    return page
