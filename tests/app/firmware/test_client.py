"""The control client against the stand-in: both protocols, key generations, every refusal."""

from typing import Any

import msgspec
import pytest

from app.core.errors import Upstream
from app.demo.fus.catalog import find_device
from app.demo.fus.serve import Fus
from app.firmware import keys
from app.firmware.client import Client, Profile, Wish, list_versions, newest
from app.firmware.outcomes import Fault, status_of
from db.engine import ApswEngine

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("db")]

MODEL, CSC = "SM-S921B", "EUX"


async def wish(profile: Profile, imei: str = "") -> Wish:
    found = newest((await list_versions(profile, MODEL, CSC))[0])
    assert found is not None
    return Wish(model=MODEL, csc=CSC, version=found.version, imei=imei)


def known_imei() -> str:
    device = find_device(MODEL)
    assert device is not None
    return device.imeis[0]


def kies(profile: Profile) -> Profile:
    return msgspec.structs.replace(profile, protocol="kies")


@pytest.mark.feature("F-01", "F-03", "F-13")
async def test_smart_needs_no_imei(profile: Profile) -> None:
    async with Client(profile) as client:
        binary = await client.inform(await wish(profile))
        await client.init(binary.filename, binary.key_version, CSC, binary.model_type)
    assert binary.filename.endswith(".enc4")
    assert binary.crc32 is not None


@pytest.mark.feature("F-02")
@pytest.mark.parametrize("generation", [0, 1, 2])
async def test_kies_finds_the_right_pair_of_three(
    profile: Profile, fus: Fus, generation: int
) -> None:
    fus.scenario("rotate_keys", generation=generation, times=1)
    async with Client(kies(profile)) as client:
        binary = await client.inform(await wish(profile, known_imei()))
        await client.init(binary.filename, binary.key_version, CSC, binary.model_type)
    assert binary.enc_version == 4


@pytest.mark.feature("F-58")
async def test_keys_nobody_knows_are_named_and_a_setting_helps(profile: Profile, fus: Fus) -> None:
    old = msgspec.structs.replace(kies(profile), kies_keys=keys.KIES_KEYS[1:])
    async with Client(old) as client:
        with pytest.raises(Fault) as caught:
            await client.inform(await wish(profile, known_imei()))
    assert caught.value.code == "keys_changed"
    async with Client(kies(profile)) as client:
        assert (await client.inform(await wish(profile, known_imei()))).size_bytes


@pytest.mark.feature("F-04", "F-47")
async def test_kies_without_a_known_imei_is_denied(profile: Profile) -> None:
    async with Client(kies(profile)) as client:
        with pytest.raises(Fault) as caught:
            await client.inform(await wish(profile, "352976245060855"))
    assert (caught.value.code, status_of(caught.value)) == ("fus_408", "denied")
    async with Client(kies(profile)) as client:
        with pytest.raises(Fault):
            await client.inform(await wish(profile))


@pytest.mark.feature("F-14")
@pytest.mark.parametrize(
    ("model", "csc", "enc"), [("SM-R930", "DBT", 4), ("GT-I9300", "DBT", 2), ("SM-X210", "DBT", 4)]
)
async def test_watches_tablets_and_old_devices(
    profile: Profile, model: str, csc: str, enc: int
) -> None:
    found = newest((await list_versions(profile, model, csc))[0])
    assert found is not None
    async with Client(profile) as client:
        binary = await client.inform(Wish(model=model, csc=csc, version=found.version))
    assert binary.enc_version == enc


@pytest.mark.feature("F-47", "F-48")
@pytest.mark.parametrize(
    ("name", "params", "code", "status"),
    [
        ("status", {"code": "400"}, "fus_400", "error"),
        ("status", {"code": "F01"}, "fus_f01", "error"),
        ("unauthorized", {"at": "inform"}, "fus_401", "unauthorized"),
        ("rate_limit", {"at": "inform"}, "throttled", "throttled"),
        ("rate_limit", {"at": "inform", "status": 503}, "throttled", "throttled"),
        ("block_page", {"at": "inform"}, "blocked", "denied"),
        ("block_page", {"at": "inform", "status": 200}, "blocked", "denied"),
        ("bad_xml", {}, "unreadable", "error"),
        ("empty_binary", {}, "no_file", "error"),
        ("binary_name", {}, "unsafe_name", "error"),
        ("cut", {"at": "inform"}, "network", "error"),
        ("error_500", {"at": "inform"}, "network", "error"),
    ],
)
async def test_each_refusal_has_its_name(
    profile: Profile, fus: Fus, name: str, params: dict[str, Any], code: str, status: str
) -> None:
    asked = await wish(profile)
    fus.scenario(name, **params)
    async with Client(profile) as client:
        with pytest.raises(Fault) as caught:
            await client.inform(asked)
    assert (caught.value.code, status_of(caught.value)) == (code, status)


async def test_an_answer_that_never_ends_is_cut_off(profile: Profile, fus: Fus) -> None:
    asked = await wish(profile)
    fus.scenario("huge")
    async with Client(profile) as client:
        with pytest.raises(Upstream) as caught:
            await client.inform(asked)
    assert caught.value.code == "too_large"


async def test_a_bomb_of_entities_is_refused(profile: Profile, fus: Fus) -> None:
    fus.scenario("empty_history")
    fus.scenario("xml_bomb")
    with pytest.raises(Fault) as caught:
        await list_versions(profile, MODEL, CSC)
    assert caught.value.code == "unreadable"


@pytest.mark.feature("F-06")
async def test_without_a_history_the_update_list_is_taken(profile: Profile, fus: Fus) -> None:
    fus.scenario("empty_history")
    found, source = await list_versions(profile, MODEL, CSC)
    assert source == "fota"
    assert len(found) > 1
    fus.scenario("empty_latest")
    with pytest.raises(Fault) as caught:
        await list_versions(profile, MODEL, CSC)
    assert caught.value.code == "no_version"


async def test_an_address_that_is_not_named_is_not_called(db: ApswEngine) -> None:
    profile = Profile(
        fota_url="https://127.0.0.1:1/{csc}/{model}",
        fus_url="http://169.254.169.254/",
        cloud_url="http://169.254.169.254/",
    )
    async with Client(msgspec.structs.replace(profile, fus_url="http://localhost:9/")) as client:
        with pytest.raises(Upstream):
            await client.nonce()
