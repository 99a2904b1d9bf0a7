import pytest

from jobs.payload import BadPayload, NewerPayload
from tests.jobs.samples import Aged, Note, Scan


def test_a_payload_comes_back_as_it_was() -> None:
    payload = Scan(library="attic", depth=3)
    assert Scan.decode(payload.encode()) == payload


def test_an_old_version_is_upgraded() -> None:
    assert Aged.decode('{"v":1,"title":"Anna"}') == Aged(name="Anna")


def test_a_newer_version_is_told_apart_from_garbage() -> None:
    with pytest.raises(NewerPayload):
        Aged.decode('{"v":3,"name":"Anna"}')


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"v":"x"}', '{"v":2}', '{"v":2,"name":7}', "null"]
)
def test_garbage_is_a_bad_payload(text: str) -> None:
    with pytest.raises(BadPayload):
        Aged.decode(text)


def test_a_payload_over_256_kib_is_refused() -> None:
    with pytest.raises(ValueError, match="over 262144"):
        Note(text="x" * 262_144).encode()
