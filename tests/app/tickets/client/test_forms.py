import pytest

from app.tickets.client.forms import Form, encode, forms_of
from app.tickets.paper.page import Page

URL = "https://idp.example/idp/profile/SSO?execution=e1s2"


def form(markup: str, url: str = URL) -> Form:
    return forms_of(Page(url, markup.encode()))[0]


def sent(markup: str) -> list[tuple[str, str]]:
    only = form(f"<form method=post>{markup}<button name=go value=1></button></form>")
    return [entry for entry in only.entries(only.submits()[0]) if entry[0] != "go"]


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<input name=a value=1><input value=2>", [("a", "1")]),
        ("<input name=a value=1 disabled>", []),
        ("<input type=checkbox name=a><input type=checkbox name=b checked>", [("b", "on")]),
        ("<input type=radio name=r value=1><input type=radio name=r checked>", [("r", "on")]),
        ("<select name=s><option>one</option><option>two</option></select>", [("s", "one")]),
        ("<select name=s><option disabled>one<option value=2>two</select>", [("s", "2")]),
        ("<select name=s><option>one<option selected>  two \n 3</select>", [("s", "two 3")]),
        ("<select name=s multiple><option>one<option>two</select>", []),
        ("<select name=s multiple><option selected>1<option selected>2</select>",
         [("s", "1"), ("s", "2")]),
        ("<textarea name=t>\nline</textarea>", [("t", "line")]),
        ("<input type=file name=f>", [("f", "")]),
        ("<input type=reset name=x value=1><input type=button name=y value=1>", []),
        ("<input type=hidden name=_charset_>", [("_charset_", "UTF-8")]),
        ("<input type=nonsense name=n value=v>", [("n", "v")]),
        ("<input type=text name=n value='a&#10;b'>", [("n", "ab")]),
        ("<input name=R type=hidden value='ss&#x3a;mem&#x3a;1'>", [("R", "ss:mem:1")]),
        ("<datalist><input name=d value=1></datalist>", []),
    ],
)  # fmt: skip
def test_fields_are_sent_as_a_browser_sends_them(
    markup: str, expected: list[tuple[str, str]]
) -> None:
    assert sent(markup) == expected


def test_a_disabled_fieldset_takes_its_fields_but_not_those_of_its_first_legend() -> None:
    markup = """<fieldset disabled><legend><input name=kept value=1></legend>
    <legend><input name=second value=1></legend><input name=lost value=1>
    <fieldset><legend><input name=inner value=1></legend></fieldset></fieldset>"""
    assert sent(markup) == [("kept", "1")]


def test_only_the_pressed_button_is_sent_also_with_an_empty_value() -> None:
    only = form("<form><button name=no value=1></button><button name=yes value=''></button></form>")
    assert only.entries(only.submits()[1]) == [("yes", "")]
    assert only.entries() == []


def test_a_picture_button_sends_coordinates() -> None:
    only = form("<form><input type=image name=go></form>")
    assert only.entries(only.submits()[0]) == [("go.x", "0"), ("go.y", "0")]


def test_fields_outside_belong_by_their_form_attribute_in_the_order_of_the_tree() -> None:
    page = Page(
        URL,
        b"<input form=f name=first value=1><form id=f><input name=mid value=2>"
        b"<input form=none name=lost value=3></form><input form=f name=last value=4>",
    )
    assert forms_of(page)[0].entries() == [("first", "1"), ("mid", "2"), ("last", "4")]


def test_a_get_form_replaces_the_query_and_the_button_may_name_another_way() -> None:
    only = form("<form action='/find?old=1#top'><input name=q value='a b~*'></form>")
    assert only.submission().url == "https://idp.example/find?q=a+b%7E*"
    other = form("<form><button formaction=next formmethod=POST></button></form>")
    sent = other.submission(other.submits()[0])
    assert (sent.method, sent.url) == ("POST", "https://idp.example/idp/profile/next")


def test_a_form_without_action_goes_to_the_page_and_never_to_the_base() -> None:
    markup = "<base href='https://other.example/x/'><form method=post></form>"
    assert form(markup).action() == URL
    named = form("<base href='https://other.example/x/'><form action=y></form>")
    assert named.action() == "https://other.example/x/y"


def test_line_ends_umlauts_and_broken_signs_are_encoded_as_utf8() -> None:
    assert encode([("ä b", "1\n2\r3\r\n4"), ("x", "\ud83d")]) == (
        "%C3%A4+b=1%0D%0A2%0D%0A3%0D%0A4&x=%EF%BF%BD"
    )


def test_a_password_is_sent_byte_for_byte() -> None:
    odd = "  \"'&+%ü\t€" + "x" * 200
    only = form("<form method=post><input type=password name=p></form>")
    assert dict(only.entries(fill={"p": odd})) == {"p": odd}


def test_boxes_are_ticked_and_options_chosen_by_name() -> None:
    only = form(
        "<form><input type=checkbox name=c value=y><input type=radio name=r value=1 checked>"
        "<input type=radio name=r value=2></form>"
    )
    assert only.entries(tick=["c"], choose={"r": "2"}) == [("c", "y"), ("r", "2")]
