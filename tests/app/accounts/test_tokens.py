"""API tokens: their form, their limits, their end."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.accounts.service import tokens, users
from app.accounts.service.passwords import Hasher
from app.core import logs
from app.core.errors import Conflict, Invalid, NotFound
from db import clock as time
from db.clock import FakeClock
from db.engine import DB
from tests.app.accounts.people import invited

pytestmark = pytest.mark.anyio

SCOPES = ["jobs:read", "jobs:write", "tickets:read"]
HERE = "192.0.2.7"


async def made(user_id: str, **more: object) -> tokens.NewToken:
    given: dict[str, object] = {"name": "a script", "scopes": ["jobs:read"], **more}
    return await tokens.create_token(user_id, possible=SCOPES, **given)  # type: ignore[arg-type]


async def test_a_token_is_known_by_its_form_and_stored_as_a_hash(admin: str) -> None:
    token = await made(admin)
    assert tokens.FORM.fullmatch(token.text)
    stored = await DB.one("SELECT * FROM api_tokens")
    assert stored
    secret = token.text[12:55]
    assert not any(secret in str(value) for value in stored.values())
    assert token.text not in logs.redact(f"seen: {token.text}")
    found = await tokens.read_token(token.text, HERE)
    assert found
    assert (found.visit.login, found.scopes) == ("ada", ("jobs:read",))


async def test_what_was_mistyped_or_made_up_costs_no_read(admin: str) -> None:
    token = (await made(admin)).text
    wrong = [
        "",
        token[:-1],
        token + "x",
        token.replace("hf_", "hx_"),
        token[:20] + ("A" if token[20] != "A" else "B") + token[21:],
        token[:-6] + "000000",
        "hf_" + "0" * 8 + "_" + "A" * 43 + "0" * 6,
        token + "\n",
    ]
    for text in wrong:
        assert await tokens.read_token(text, HERE) is None, text
    other = f"hf_{token[3:11]}_{'A' * 43}"
    assert await tokens.read_token(other + tokens.check_of(other), HERE) is None, "a good sum"


async def test_a_token_ends_by_time_by_hand_and_with_its_owner(
    admin: str, hasher: Hasher, clock: FakeClock
) -> None:
    bea = (await invited(admin, "bea", hasher)).user_id
    short, long = await made(bea, days=1), await made(bea, days=0)
    assert long.expires_at is None
    clock.advance(86_400)
    assert await tokens.read_token(short.text, HERE) is None
    assert await tokens.read_token(long.text, HERE)
    with pytest.raises(NotFound):
        await tokens.revoke_token(admin, long.id)
    await users.set_active(admin, bea, False)
    assert await tokens.read_token(long.text, HERE) is None
    await users.set_active(admin, bea, True)
    await tokens.revoke_token(bea, long.id)
    assert await tokens.read_token(long.text, HERE) is None
    assert [one.state for one in await tokens.list_tokens(bea)].count("revoked") == 1


async def test_a_token_may_be_for_some_addresses_only(admin: str) -> None:
    token = (await made(admin, addresses="192.0.2.0/24, 2001:db8::1")).text
    assert await tokens.read_token(token, "192.0.2.200")
    assert await tokens.read_token(token, "2001:db8::1")
    for ip in ("198.51.100.1", "2001:db8::2", "", "nonsense"):
        assert await tokens.read_token(token, ip) is None
    assert await DB.value("SELECT count(*) FROM audit_log WHERE action = 'token.refused'") == 4


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin:write"]}, "scopes"),
        ({"days": "-1"}, "days"),
        ({"days": "99999"}, "days"),
        ({"days": "ten"}, "days"),
        ({"addresses": "everywhere"}, "addresses"),
    ],
)
async def test_what_cannot_be_a_token_says_why(
    admin: str, more: dict[str, object], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await made(admin, **more)
    assert list(refusal.value.fields) == [field]
    assert await DB.value("SELECT count(*) FROM api_tokens") == 0


async def test_nobody_keeps_more_than_fifty(admin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 2)  # a limit, not behaviour
    await made(admin)
    await made(admin)
    with pytest.raises(Conflict):
        await made(admin)


async def test_the_last_use_is_noted_at_most_every_five_minutes(
    admin: str, clock: FakeClock, data_dir: Path
) -> None:
    token = (await made(admin)).text
    await tokens.read_token(token, HERE)
    first = await DB.value("SELECT last_used_at FROM api_tokens")
    clock.advance(60)
    await tokens.read_token(token, HERE)
    assert await DB.value("SELECT last_used_at FROM api_tokens") == first
    clock.advance(300)
    await tokens.read_token(token, HERE)
    last = await DB.value("SELECT last_used_at FROM api_tokens")
    assert time.parse(last) - time.parse(first) == timedelta(seconds=360)


async def test_what_may_be_given_is_what_one_may_oneself() -> None:
    built = ("tickets", "firmware")
    user = await tokens.possible_scopes("user", ("tickets",), built)
    assert user == ["jobs:read", "jobs:write", "tickets:read", "tickets:write"]
    admin = await tokens.possible_scopes("admin", ("tickets", "firmware"), built)
    assert {"admin:write", "metrics:read", "firmware:read"} <= set(admin)
