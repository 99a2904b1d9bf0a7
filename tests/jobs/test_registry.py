import pytest

from jobs.context import Context
from jobs.registry import Backoff, Registry, Steps
from tests.jobs.samples import Note, Scan


def test_equal_jitter_keeps_half_of_the_delay() -> None:
    backoff = Backoff(base_s=10, cap_s=60)
    for attempt, full in [(1, 10), (2, 20), (3, 40), (4, 60), (500, 60)]:
        assert all(full / 2 <= backoff(attempt) <= full for _ in range(50))


def test_delays_are_spread() -> None:
    backoff = Backoff(base_s=10)
    assert len({backoff(1) for _ in range(20)}) > 10


def test_the_last_step_repeats() -> None:
    steps = Steps(60, 300, jitter=0)
    assert [steps(attempt) for attempt in (1, 2, 3, 9)] == [60, 300, 300, 300]


def test_a_type_has_one_handler(registry: Registry) -> None:
    @registry.handles(Note)
    async def one(job: Note, ctx: Context) -> None: ...

    with pytest.raises(ValueError, match="two handlers"):
        registry.handles(Note)(one)


def test_check_names_what_is_wrong(registry: Registry) -> None:
    @registry.handles(Note)
    async def one(job: Note, ctx: Context) -> None: ...

    found = registry.check([Note, Scan])
    assert "samples.scan: no handler" in found
    assert any(line.startswith("samples.note: handled in") for line in found)
