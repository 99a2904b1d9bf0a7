"""Settings: which source wins, what a bad value says, and what is stored and audited."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.core import settings, vault
from app.core.errors import Conflict, Invalid
from app.core.secret import SecretStr
from app.core.settings import BadSetting, load
from db.engine import ApswEngine

pytestmark = pytest.mark.anyio

SECRET = settings.key("sample.api_key", "", "A key", secret=True)
NUMBER = settings.key("sample.limit", 3, "A number", low=1, high=9)
settings.declare(SECRET, NUMBER)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "holdfast.toml"
    file.write_text(
        'port = 1003\nlog_level = "error"\ntrusted_proxies = ["10.0.0.9/8", "::1"]\n'
        "[accounts]\ninvite_hours = 5\n"
    )
    return file


async def test_without_any_source_the_defaults_start_a_server_on_loopback() -> None:
    given = load({}, {})
    assert (given.host, given.port) == ("localhost", 8040)
    assert given.data_dir == Path.cwd() / "data"
    assert (given.trusted_proxies, given.allowed_hosts, given.root_path) == ((), (), "")
    assert not given.demo


async def test_the_first_source_that_has_a_value_wins(toml: Path, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1002\n")
    file = {"HOLDFAST_PORT_FILE": str(tmp_path / "port")}
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = {"config": str(toml)}
    assert load({**config, "port": 1000}, {"HOLDFAST_PORT": "1001"}).port == 1000
    assert load({**config, "port": None}, {"HOLDFAST_PORT": "1001", **file}).port == 1001
    assert load(config, {"HOLDFAST_PORT": "", **file}).port == 1002
    assert load(config, credentials).port == 1002
    assert load(config, {}).port == 1003
    assert load({}, {"HOLDFAST_CONFIG": str(toml)}).trusted_proxies == ("10.0.0.0/8", "::1")


async def test_the_variables_of_the_first_admin_and_the_data_folder_work(tmp_path: Path) -> None:
    given = load(
        {},
        {
            "HOLDFAST_DATA_DIR": str(tmp_path / "data"),
            "HOLDFAST_ADMIN_LOGIN": "ada",
            "HOLDFAST_ADMIN_PASSWORD_FILE": str(tmp_path / "password"),
        },
    )
    assert given.db_file == tmp_path / "data" / "holdfast.db"
    assert (given.admin_login, given.admin_password_file) == ("ada", tmp_path / "password")


async def test_the_public_address_gives_host_and_path() -> None:
    given = load({}, {"HOLDFAST_PUBLIC_URL": "https://team.example.org:8443/holdfast/"})
    assert given.public_url == "https://team.example.org:8443/holdfast"
    assert given.allowed_hosts == ("team.example.org",)
    assert given.root_path == "/holdfast"


@pytest.mark.parametrize(
    ("name", "raw", "problem"),
    [
        ("PORT", "80a", "must be a whole number"),
        ("PORT", "٣", "must be a whole number"),
        ("PORT", "65536", "must be between 0 and 65535"),
        ("DEMO", "perhaps", "must be true or false"),
        ("LOG_FORMAT", "xml", "must be one of console, json"),
        ("PUBLIC_URL", "ftp://x", "must be http"),
        ("PUBLIC_URL", "http://[bad", "must be http"),
        ("PUBLIC_URL", "http://user@x", "must be http"),
        ("ROOT_PATH", "/a b", "must be a path"),
        ("TRUSTED_PROXIES", "proxy.local", "must be a list of addresses"),
        ("ACCOUNTS_INVITE_HOURS", "721", "must be between 1 and 720"),
        ("DOMAINS_ENABLED", "tickets,poker", "must be some of tickets"),
        ("BACKUP_AT", "24:00", "must be a time of day"),
        ("SAMPLE_LIMIT", "hunter2", "must be a whole number"),
    ],
)
async def test_a_bad_value_is_named_in_one_line_without_the_value(
    name: str, raw: str, problem: str
) -> None:
    with pytest.raises(BadSetting) as caught:
        load({}, {f"HOLDFAST_{name}": raw})
    line = str(caught.value)
    assert problem in line
    assert name.lower().replace("_", "") in line.replace("_", "").replace(".", "")
    assert f"HOLDFAST_{name}" in line
    assert raw not in line
    assert "\n" not in line


async def test_a_file_that_cannot_be_read_and_a_name_that_is_none_are_bad_settings(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.toml").write_text("prot = 1\n")
    (tmp_path / "b.toml").write_text("port = \n")
    for argv, env, words in (
        ({}, {"HOLDFAST_PORT_FILE": str(tmp_path / "none")}, "port: the file"),
        ({"config": tmp_path / "none.toml"}, {}, "no such file"),
        ({"config": tmp_path / "a.toml"}, {}, "prot: no such setting"),
        ({"config": tmp_path / "b.toml"}, {}, "not TOML"),
    ):
        with pytest.raises(BadSetting, match=words):
            load(argv, env)


async def test_what_is_given_outside_never_shows_in_the_text_of_the_settings() -> None:
    given = load({}, {"HOLDFAST_SAMPLE_API_KEY": "hunter2-hunter2"})
    assert "hunter2" not in repr(given)


async def test_a_stored_value_beats_the_default_and_comes_back_in_its_type(
    house: ApswEngine,
) -> None:
    values: dict[str, Any] = {
        "accounts.invite_hours": 24,
        "setup.completed": True,
        "domains.enabled": ("tickets", "firmware"),
        "accounts.second_factor": "all",
        "backup.folder": "/srv/“b”, or so",
    }
    for name, value in values.items():
        before = await settings.get(name)
        await settings.put(name, value, "u1")
        assert before != value
        assert await settings.get(name) == value
        assert (await settings.show(name)).source == "configuration"
    await settings.reset("accounts.invite_hours", "u1")
    assert await settings.get("accounts.invite_hours") == 72


async def test_a_change_is_audited_with_old_and_new_a_refused_one_is_not(house: ApswEngine) -> None:
    await settings.put("accounts.invite_hours", "24", "u1", ip="192.0.2.1")
    await settings.put("accounts.invite_hours", 48, "u1")
    with pytest.raises(Invalid) as caught:
        await settings.put("accounts.invite_hours", "0", "u1")
    assert caught.value.fields == {"accounts.invite_hours": "must be between 1 and 720"}
    rows = await house.all("SELECT * FROM audit_log ORDER BY id")
    assert [json.loads(str(row["detail"])) for row in rows] == [
        {"new": 24, "old": None},
        {"new": 48, "old": 24},
    ]
    assert (rows[0]["action"], rows[0]["object_id"]) == (
        "settings.changed",
        "accounts.invite_hours",
    )
    assert (rows[0]["actor_id"], rows[0]["ip"]) == ("u1", "192.0.2.1")


async def test_a_stored_secret_is_sealed_and_its_audit_says_only_that_it_changed(
    house: ApswEngine,
) -> None:
    assert await settings.get("sample.api_key") is None
    await settings.put("sample.api_key", SecretStr("first-secret"), "u1")
    await settings.put("sample.api_key", "second-secret", "u1")
    row = await house.one("SELECT * FROM configuration WHERE key = 'sample.api_key'")
    assert row is not None
    assert row["encrypted"] == 1
    assert vault.is_sealed(str(row["value"]))
    secret = await settings.get("sample.api_key")
    assert isinstance(secret, SecretStr)
    assert secret.reveal() == "second-secret"
    everything = str(await house.all("SELECT * FROM audit_log"))
    assert "secret" not in everything.replace("second-secret", "SHOWN").replace(
        "first-secret", "SHOWN"
    )
    assert "SHOWN" not in everything
    assert '"change":"changed"' in everything


async def test_a_value_from_outside_is_in_force_locked_and_cannot_be_changed(
    house: ApswEngine, toml: Path
) -> None:
    await settings.put("accounts.invite_hours", 24, "u1")
    settings.use(load({"config": str(toml)}, {"HOLDFAST_SAMPLE_API_KEY": "from-outside"}))
    shown = await settings.show("accounts.invite_hours")
    assert (shown.value, shown.source, shown.locked) == (5, "holdfast.toml", True)
    secret = await settings.show("sample.api_key")
    assert (str(secret.value), secret.source) == ("•••", "HOLDFAST_SAMPLE_API_KEY")
    assert secret.value.reveal() == "from-outside"
    with pytest.raises(Conflict, match="holdfast"):
        await settings.put("accounts.invite_hours", 24, "u1")
    with pytest.raises(Conflict, match="start of the program"):
        await settings.put("host", "::1", "u1")


async def test_a_stored_value_that_no_longer_fits_counts_as_unset(house: ApswEngine) -> None:
    await settings.put("accounts.invite_hours", 24, "u1")
    await house.execute("UPDATE configuration SET value = '9000'")
    assert await settings.get("accounts.invite_hours") == 72


async def test_a_key_declared_after_start_still_takes_its_value_from_outside(
    house: ApswEngine,
) -> None:
    given = load({}, {"HOLDFAST_SAMPLE_LATE": "7"})
    late = settings.key("sample.late", 1, "Declared late", low=1, high=9)
    settings.declare(late)
    settings.declare(late)
    settings.use(given)
    assert await settings.get("sample.late") == 7
    with pytest.raises(BadSetting, match=r"sample\.late: must be between"):
        settings.use(load({}, {"HOLDFAST_SAMPLE_LATE": "70"}))
    with pytest.raises(ValueError, match="twice"):
        settings.declare(settings.key("sample.late", 2, "Declared otherwise"))


async def test_an_unknown_name_is_a_mistake_of_ours(house: ApswEngine) -> None:
    with pytest.raises(KeyError):
        await settings.get("accounts.invite_hour")
