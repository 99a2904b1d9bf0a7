"""The HTML of the sign-in service, shaped like the stock views of a Shibboleth IdP."""

import re
from collections.abc import Mapping
from html import escape

from app.demo.portal.words import WORDS

STORES = ("shib_idp_session_ss", "shib_idp_persistent_ss", "shib_idp_ls_supported")
ATTRIBUTES = ("given_name", "birth", "affiliation", "mail")


def attribute(text: str) -> str:
    """Escape as the original does: everything but letters and digits, so `:` is `&#x3a;`."""
    return re.sub(r"[^A-Za-z0-9_./-]", lambda match: f"&#x{ord(match[0]):x};", text)


def shell(lang: str, title: str, body: str, *, head: str = "", onload: str = "") -> str:
    """A whole page of the sign-in service."""
    load = f' onload="{onload}"' if onload else ""
    return f"""<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)}</title>
<link rel="stylesheet" href="/idp/css/main.css">
{head}</head>
<body{load}>
<div class="wrapper"><div class="container">
<header><h1>{escape(title)}</h1></header>
{body}
</div></div>
</body>
</html>
"""


def hidden(name: str, value: str) -> str:
    """A hidden field."""
    return f'<input type="hidden" name="{attribute(name)}" value="{attribute(value)}">'


def login(
    lang: str,
    action: str,
    csrf: str,
    *,
    error: str = "",
    error_class: str = "form-error",
    extra: str = "",
) -> str:
    """The sign-in form; the password field is always empty."""
    say = WORDS[lang]
    message = (
        f'<section><p class="{escape(error_class)}">{escape(error)}</p></section>' if error else ""
    )
    body = f"""<section><p>{say["login_for"]} {say["service"]}</p></section>
{message}<form action="{attribute(action)}" method="post">
{hidden("csrf_token", csrf)}
<label for="username">{say["username"]}</label>
<input class="form-element form-field" id="username" name="j_username" type="text" value="">
<label for="password">{say["password"]}</label>
<input class="form-element form-field" id="password" name="j_password" type="password" value="">
{extra}<input type="checkbox" name="donotcache" value="1" id="donotcache">
<label for="donotcache">{say["donotcache"]}</label>
<input id="_shib_idp_revokeConsent" type="checkbox" name="_shib_idp_revokeConsent" value="true">
<label for="_shib_idp_revokeConsent">{say["revoke"]}</label>
<button class="form-element form-button" type="submit" name="_eventId_proceed"
>{say["login"]}</button>
</form>"""
    return shell(lang, say["login_title"], body)


def login_changed(
    lang: str, action: str, csrf: str, *, error: str = "", opaque: bool = False
) -> str:
    """The sign-in form after a redesign: other names, no ids, a div for a button.

    `opaque` also hides what is the password: no password field, a second text field.
    """
    say = WORDS[lang]
    kind = "text" if opaque else "password"
    decoy = '<input type="text" name="mandant" value="">' if opaque else ""
    message = f'<p class="notice">{escape(error)}</p>' if error else ""
    body = f"""{message}<form action="{attribute(action)}" method="post">
{hidden("xt", csrf)}
{decoy}<input type="text" name="kennung" placeholder="{say["username"]}">
<input type="{kind}" name="geheim" placeholder="{say["password"]}">
<div class="btn" role="button" tabindex="0" onclick="this.closest('form').submit()"
>{say["login"]}</div>
</form>"""
    return shell(lang, say["login_title"], body)


def storage(lang: str, action: str, csrf: str, *, write: bool) -> str:
    """The page that reads or writes the browser's local storage by script."""
    say = WORDS[lang]
    fields = "".join(
        hidden(f"shib_idp_ls_exception.{store}", "")
        + hidden(f"shib_idp_ls_success.{store}", "false")
        + hidden(f"shib_idp_ls_value.{store}", "")
        for store in STORES
    )
    script = """<script>
function step() {
  const form = document.forms[0];
  for (const field of form.querySelectorAll('[name^="shib_idp_ls_success."]')) {
    field.value = 'true';
  }
  const event = document.createElement('input');
  event.type = 'hidden';
  event.name = '_eventId_proceed';
  form.append(event);
  form.submit();
}
</script>
"""
    body = f"""<p>{say["storage_write" if write else "storage"]}</p>
<noscript><p>{say["no_script"]}</p></noscript>
<form name="form1" action="{attribute(action)}" method="post">
{hidden("csrf_token", csrf)}{fields}
<noscript><input type="submit" name="_eventId_proceed" value="{say["continue_button"]}"></noscript>
</form>"""
    return shell(lang, say["login_title"], body, head=script, onload="step()")


def expiring(lang: str, action: str) -> str:
    """The notice that the password will expire; it goes on by itself after twenty seconds."""
    say = WORDS[lang]
    go = escape(f"{action}&_eventId_proceed=1")
    head = f'<meta http-equiv="refresh" content="20;url={go}">\n'
    body = f"""<p class="form-error">{say["expiring"]}</p><p>{say["expiring_text"]}</p>
<p><a href="{go}">{say["continue"]}</a></p>"""
    return shell(lang, say["login_title"], body, head=head)


def terms(lang: str, action: str, csrf: str) -> str:
    """Two forms: the first refuses, the second accepts."""
    say = WORDS[lang]
    body = f"""<div id="tou-content"><p>{say["terms_text"]}</p></div>
<div id="tou-acceptance">
<form action="{attribute(action)}" method="post" style="padding:10px">{hidden("csrf_token", csrf)}
<input type="submit" name="_eventId_TermsRejected" value="{say["refuse"]}">
</form>
<form action="{attribute(action)}" method="post" style="padding:10px">{hidden("csrf_token", csrf)}
<input id="accept" type="checkbox" name="_shib_idp_consentIds" value="portal-terms" required>
<label for="accept">{say["terms_box"]}</label>
<input type="submit" name="_eventId_proceed" value="{say["submit"]}">
</form></div>"""
    return shell(lang, say["terms_title"], body)


def attribute_release(
    lang: str,
    action: str,
    csrf: str,
    values: Mapping[str, str],
    *,
    boxes: bool,
    reject_first: bool,
    service: str,
) -> str:
    """The question whether these attributes may go to the portal."""
    say = WORDS[lang]
    kind = 'type="checkbox" checked' if boxes else 'type="hidden"'
    rows = "".join(
        f"<tr><td>{say[name]}</td><td>{escape(value)}</td><td>"
        f'<input {kind} name="_shib_idp_consentIds" value="{name}"></td></tr>\n'
        for name, value in values.items()
    )
    radios = "".join(
        f'<input id="{value}" type="radio" name="_shib_idp_consentOptions" value="{value}"'
        f"{' checked' if value == '_shib_idp_rememberConsent' else ''}>"
        f'<label for="{value}">{say[words]}</label>\n'
        for value, words in (
            ("_shib_idp_doNotRememberConsent", "dont_remember"),
            ("_shib_idp_rememberConsent", "remember"),
            ("_shib_idp_globalConsent", "global"),
        )
    )
    buttons = [
        f'<input type="submit" name="_eventId_AttributeReleaseRejected" value="{say["reject"]}">',
        f'<input type="submit" name="_eventId_proceed" value="{say["accept"]}">',
    ]
    if not reject_first:
        buttons.reverse()
    body = f"""<form action="{attribute(action)}" method="post">
{hidden("csrf_token", csrf)}
<p>{say["consent_about"]} <strong>{escape(service)}</strong></p>
<div id="attributeRelease"><table><thead><tr><th colspan="3">{say["consent_list"]}</th></tr></thead>
<tbody>
{rows}</tbody></table></div>
<p>{say["consent_question"]}</p>
<div id="attributeRelease-consent">{radios}</div>
<p>{"".join(buttons)}</p>
</form>"""
    return shell(lang, say["consent_title"], body)


def second_factor(lang: str, action: str, csrf: str, kind: str) -> str:
    """A question for a second factor: `fudis`, `otp` or `webauthn`."""
    say = WORDS[lang]
    form_id, name, script = "fudiscr-form", "fudis_otp_input", ""
    if kind != "fudis":
        form_id, name = "second-factor", "otp"
    if kind == "webauthn":
        script = (
            "<script>navigator.credentials && navigator.credentials.get({publicKey: {}});</script>"
        )
    body = f"""<p>{say["mfa_text"]}</p>
<form id="{form_id}" action="{attribute(action)}" method="post">{hidden("csrf_token", csrf)}
<input type="text" name="{name}" autocomplete="one-time-code" inputmode="numeric">
<button type="submit" name="_eventId_proceed">{say["verify"]}</button>
</form>{script}"""
    return shell(lang, say["mfa_title"], body)


def auto_post(lang: str, action: str, fields: Mapping[str, str]) -> str:
    """A form that posts itself by script; without script a button that has no name."""
    say = WORDS[lang]
    body = f"""<noscript><p>{say["no_script"]}</p></noscript>
<form action="{attribute(action)}" method="post"><div>
{"".join(hidden(name, value) for name, value in fields.items())}
</div>
<noscript><div><input type="submit" value="{say["continue_button"]}"></div></noscript>
</form>"""
    return shell(lang, say["login_title"], body, onload="document.forms[0].submit()")


def problem(lang: str, what: str) -> str:
    """An error page; `what` is a word that has `_title` and `_text` in WORDS."""
    say = WORDS[lang]
    body = f"<section><h2>{say[f'{what}_title']}</h2><p>{say[f'{what}_text']}</p></section>"
    return shell(lang, say[f"{what}_title"], body)
