"""Settings: one typed registry, and for each name the first source that has a value.

Command line > environment > holdfast.toml > table `configuration` > default. Names without a dot
are needed at start and are read once; names with a dot may be changed while the program runs.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from app.core import audit, vault
from app.core.errors import Conflict, Invalid
from app.core.registry import DOMAINS, START, Setting, declare, key, parse, registry, root_path
from app.core.secret import SecretStr, from_outside, remember
from db.engine import DB
from db.keys import uuid7

# The registry's words are part of what a caller says: `settings.declare(settings.key(…))`.
__all__ = [
    "DOMAINS",
    "BadSetting",
    "Setting",
    "Settings",
    "Shown",
    "declare",
    "get",
    "key",
    "load",
    "outside",
    "parse",
    "put",
    "registry",
    "reset",
    "show",
    "use",
]


class BadSetting(Exception):
    """A value that cannot be used.

    One line: the key, what is wrong with its kind, where it came from.
    """


class Outside:
    """Everything given from outside. Looked up by name, since domains declare their keys late.

    Not a struct on purpose: its text would show the environment.
    """

    def __init__(
        self, argv: Mapping[str, Any], env: Mapping[str, str], *, toml: bool = True
    ) -> None:
        self._argv = argv
        self._env = env
        self._toml, self._toml_name = _read_toml(argv, env) if toml else ({}, "")
        self._known: dict[str, tuple[Any, str] | None] = {}

    def find(self, name: str) -> tuple[Any, str] | None:
        """The raw value and its source; None if nobody gave one."""
        if self._argv.get(name) is not None:
            return self._argv[name], "command line"
        try:
            found = from_outside(name, self._env)
        except (OSError, UnicodeDecodeError):
            raise BadSetting(f"{name}: the file that should hold it cannot be read") from None
        if found is None and name in self._toml:
            return self._toml[name], self._toml_name
        return found

    def known(self, name: str) -> tuple[Any, str] | None:
        """The same without looking again: for what every request asks."""
        if name not in self._known:
            self._known[name] = self.find(name)
        return self._known[name]

    def check(self) -> None:
        """Raise BadSetting if a value for any declared setting does not fit."""
        for setting in registry().values():
            _given(setting, self, None)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed at start, and the texts given from outside for everything else."""

    data_dir: Path
    host: str
    port: int
    uds: Path | None
    public_url: str
    root_path: str
    trusted_proxies: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    rate_anonymous: int
    rate_writes: int
    log_format: str
    log_level: str
    admin_login: str
    admin_password_file: Path | None
    demo: bool
    outside: Outside

    @property
    def db_file(self) -> Path:
        """The one database file."""
        return self.data_dir / "holdfast.db"


class Shown(msgspec.Struct, frozen=True):
    """A setting as a form shows it. `locked`: given from outside.

    A secret's value is None or a SecretStr.
    """

    setting: Setting
    value: Any
    source: str
    locked: bool


_current = Outside({}, {}, toml=False)


def load(argv_values: Mapping[str, Any], env: Mapping[str, str]) -> Settings:
    """Read every source from outside. `argv_values`: option name to value, None where not given.

    Raises BadSetting on the first value that does not fit.
    """
    outside = Outside(argv_values, env)
    start = {setting.name: _given(setting, outside, setting.default) for setting in START}
    outside.check()
    start["data_dir"] = start["data_dir"].absolute()
    host = urlsplit(start["public_url"]).hostname
    start["allowed_hosts"] = start["allowed_hosts"] or ((host,) if host else ())
    start["root_path"] = start["root_path"] or root_path(urlsplit(start["public_url"]).path)
    return Settings(**start, outside=outside)


def use(settings: Settings | None) -> None:
    """From now on `get` answers with what these settings bring from outside; None: nothing.

    Once, when the program is put together and all domains have declared their keys. Raises
    BadSetting if one of those does not fit.
    """
    global _current  # noqa: PLW0603 - one program has one set of settings
    _current = settings.outside if settings else Outside({}, {}, toml=False)
    _current.check()


async def get(name: str) -> Any:
    """The value in force, in its own type; a secret as SecretStr, or None if unset.

    KeyError for an unknown name.
    """
    return (await show(name)).value


def outside(name: str) -> Any:
    """The value given from outside, looked up once; None if nobody gave one."""
    found = _current.known(name)
    return _fitting(registry()[name], *found) if found else None


async def show(name: str) -> Shown:
    """The value in force with its source. Raises BadSetting if a text from outside does not fit."""
    setting = registry()[name]
    found = _current.find(name)
    if found:
        value = _fitting(setting, *found)
        if setting.secret:
            remember(value)
            value = SecretStr(value)
        return Shown(setting, value, found[1], locked=True)
    if "." in name:
        row = await DB.one("SELECT id, value, encrypted FROM configuration WHERE key = ?", (name,))
        if row is not None and row["value"] is not None:
            return Shown(setting, _stored_value(setting, row), "configuration", locked=False)
    default = None if setting.secret else setting.default
    return Shown(setting, default, "default", locked=False)


async def put(
    name: str, value: Any, actor: str | None, *, actor_kind: str = "user", ip: str = ""
) -> None:
    """Store a value, audited with old and new.

    Raises Invalid if it does not fit, Conflict if given from outside.
    """
    setting = registry()[name]
    _refuse_outside(name)
    raw = value.reveal() if isinstance(value, SecretStr) else value
    try:
        fitting = parse(setting, raw)
    except ValueError as error:
        raise Invalid(**{name: str(error)}) from None
    async with DB.tx():
        row = await DB.one("SELECT id, value, encrypted FROM configuration WHERE key = ?", (name,))
        old = None if row is None or setting.secret else _plain(_stored_value(setting, row))
        row_id = row["id"] if row else uuid7()
        text = _text(fitting)
        stored = vault.seal("configuration", "value", row_id, text) if setting.secret else text
        await DB.execute(
            "INSERT INTO configuration (id, key, value, encrypted, category, description)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key)"
            " DO UPDATE SET value = excluded.value, encrypted = excluded.encrypted",
            (row_id, name, stored, int(setting.secret), setting.category, setting.help),
        )
        detail = {"change": "changed"} if setting.secret else {"old": old, "new": _plain(fitting)}
        await _note("settings.changed", name, detail, actor, actor_kind, ip)


async def reset(name: str, actor: str | None, *, actor_kind: str = "user", ip: str = "") -> None:
    """Back to the default, audited. Does nothing if no value was stored.

    Conflict if given from outside.
    """
    _refuse_outside(name)
    async with DB.tx():
        if await DB.execute("DELETE FROM configuration WHERE key = ?", (name,)):
            await _note("settings.reset", name, {}, actor, actor_kind, ip)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else str(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _given(setting: Setting, outside: Outside, default: Any) -> Any:
    found = outside.find(setting.name)
    return _fitting(setting, *found) if found else default


def _fitting(setting: Setting, raw: Any, source: str) -> Any:
    try:
        return parse(setting, raw)
    except ValueError as error:
        raise BadSetting(f"{setting.name}: {error} (from {source})") from None


def _stored_value(setting: Setting, row: Mapping[str, Any]) -> Any:
    """The row's value; one that no longer fits (older version, edited by hand) counts as unset."""
    if row["encrypted"]:
        return vault.open("configuration", "value", row["id"], row["value"])
    try:
        value = parse(setting, row["value"])
    except ValueError:
        return None if setting.secret else setting.default
    return SecretStr(value) if setting.secret else value


def _refuse_outside(name: str) -> None:
    found = _current.find(name)
    if "." not in name or found:
        source = found[1] if found else "the start of the program"
        raise Conflict(f"{name} is set by {source} and cannot be changed here")


async def _note(
    action: str, name: str, detail: dict[str, Any], actor: str | None, kind: str, ip: str
) -> None:
    await audit.record(
        action,
        actor_id=actor,
        actor_kind=kind,
        ip=ip,
        object_type="setting",
        object_id=name,
        detail=detail,
    )


def _read_toml(
    argv_values: Mapping[str, Any], env: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """Names and values of the TOML file, tables flattened with dots.

    None if nobody named one and none is here.
    """
    named = argv_values.get("config") or env.get("HOLDFAST_CONFIG")
    file = Path(named or "holdfast.toml")
    try:
        tree = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if named:
            raise BadSetting(f"config: no such file {file}") from None
        return {}, file.name
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        what = (
            type(error).__name__
            if not isinstance(error, tomllib.TOMLDecodeError)
            else f"not TOML: {error}"
        )
        raise BadSetting(f"config: {file}: {what}") from None
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat.update(
            {f"{name}.{inner}": v for inner, v in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    unknown = [name for name in flat if "." not in name and name not in registry()]
    if unknown:
        raise BadSetting(f"{unknown[0]}: no such setting (from {file.name})")
    return flat, file.name
