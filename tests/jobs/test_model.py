"""The queue against a model of it in plain Python, under a clock that moves both ways.

200 lives of 50 steps; `HOLDFAST_MODEL_RUNS` sets how many.
"""

import os
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from db import clock
from db.connection import execute, fetch
from jobs import enqueue as queue
from jobs.claim import (
    Complete,
    Failed,
    Fence,
    PutBack,
    Stopped,
    Verb,
    claim,
    finish,
    rescue_workers,
)
from jobs.insert import draft, put
from tests.jobs.conftest import queue_in_memory
from tests.jobs.samples import Note

RESCUE_MS = (1000, 30_000, 300_000)
LIVE = ("queued", "running")


class Model(RuleBasedStateMachine):
    """What the tables should hold: a dict for each job."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = queue_in_memory()
        self.fake = clock.FakeClock()
        self.using = clock.use(self.fake)
        self.using.__enter__()
        self.jobs: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        self.using.__exit__(None, None, None)
        self.connection.close()

    # ---- what happens ----

    @rule(
        priority=st.integers(-1, 1),
        delay_s=st.sampled_from([0, 0, 5]),
        serial=st.sampled_from([None, None, "a", "b"]),
        dedupe=st.sampled_from([None, None, "k"]),
        attempts=st.integers(1, 3),
    )
    def ask(
        self, priority: int, delay_s: int, serial: str | None, dedupe: str | None, attempts: int
    ) -> None:
        wish = draft(
            Note(),
            priority=priority,
            delay_s=delay_s,
            serial=serial,
            dedupe=dedupe,
            max_attempts=attempts,
        )
        done = put(self.connection, wish)
        holders = [
            id_
            for id_, job in self.jobs.items()
            if dedupe and job["dedupeKey"] == dedupe and job["state"] in LIVE
        ]
        assert done.deduped == bool(holders)
        if holders:
            assert done.id == holders[0]
            return
        self.jobs[done.id] = {
            "state": "queued",
            "attempts": 0,
            "crashes": 0,
            "snoozes": 0,
            "lockedBy": None,
            "runAt": clock.ms() + delay_s * 1000,
            "priority": priority,
            "serialKey": serial,
            "dedupeKey": dedupe,
            "maxAttempts": attempts,
            "asked": False,
        }

    @rule(worker=st.sampled_from(["w1", "w2"]))
    def claim(self, worker: str) -> None:
        held = {job["serialKey"] for job in self.jobs.values() if job["state"] == "running"}
        free = [
            (-job["priority"], job["runAt"], id_)
            for id_, job in self.jobs.items()
            if job["state"] == "queued"
            and job["runAt"] <= clock.ms()
            and (job["serialKey"] is None or job["serialKey"] not in held)
        ]
        row = claim(self.connection, worker, clock.ms(), 1000, [Note.TYPE])
        assert (row.id if row else None) == (min(free)[2] if free else None)
        if row:
            job = self.jobs[row.id]
            job.update(state="running", attempts=job["attempts"] + 1, lockedBy=worker)

    @precondition(lambda self: self.in_state("running"))
    @rule(
        data=st.data(), verb=st.sampled_from(["ok", "retry", "fatal", "snooze", "return", "stop"])
    )
    def end(self, data: st.DataObject, verb: str) -> None:
        id_ = data.draw(st.sampled_from(self.in_state("running")))
        job, now = self.jobs[id_], clock.ms()
        verbs: dict[str, Verb] = {
            "ok": Complete(),
            "retry": Failed("x", "x", retryable=True, delay_ms=500),
            "fatal": Failed("x", "x"),
            "snooze": PutBack(500, snoozed=True),
            "return": PutBack(),
            "stop": Stopped(),
        }
        fence = Fence(id_, job["lockedBy"], job["attempts"])
        assert (
            finish(self.connection, Fence(id_, "zombie", job["attempts"]), verbs[verb], now) is None
        )
        assert finish(self.connection, fence, verbs[verb], now) is not None
        job["lockedBy"] = None
        again = verb == "retry" and job["attempts"] < job["maxAttempts"]
        if verb in ("snooze", "return"):
            job["attempts"] -= 1
            job["snoozes"] += verb == "snooze"
            job["runAt"] = now + (500 if verb == "snooze" else 0)
        elif again and not job["asked"]:
            job["runAt"] = now + 500
        if verb == "ok":
            job["state"] = "succeeded"
        elif verb == "stop" or job["asked"]:
            job["state"] = "cancelled"
        else:
            job["state"] = "queued" if again or verb in ("snooze", "return") else "failed"

    @rule(worker=st.sampled_from(["w1", "w2"]))
    def crash(self, worker: str) -> None:
        now = clock.ms()
        rescue_workers(self.connection, now, [worker])
        for job in self.jobs.values():
            if job["state"] == "running" and job["lockedBy"] == worker:
                spent = job["crashes"] + 1 >= 3 or job["attempts"] >= job["maxAttempts"]
                state = "cancelled" if job["asked"] else "failed" if spent else "queued"
                job["runAt"] = now + RESCUE_MS[min(job["crashes"], 2)]
                job.update(state=state, lockedBy=None, crashes=job["crashes"] + 1)

    @precondition(lambda self: self.in_state(*LIVE))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(self.in_state(*LIVE)))
        given = dict.fromkeys(("type", "dedupe", "project_id", "noun", "key", "batch"))
        sql = queue._CANCEL.format(match="id=:id")
        execute(self.connection, sql, {**given, "id": id_, "now": clock.ms()})
        job = self.jobs[id_]
        job["asked"] = True
        if job["state"] == "queued":
            job["state"] = "cancelled"

    @precondition(lambda self: self.in_state("failed", "cancelled"))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(self.in_state("failed", "cancelled")))
        job = self.jobs[id_]
        twin = any(
            other["dedupeKey"] == job["dedupeKey"] and other["state"] in LIVE
            for other in self.jobs.values()
            if job["dedupeKey"]
        )
        if not twin:
            execute(self.connection, queue._RETRY, (id_, clock.ms()))
            most = max(job["maxAttempts"], job["attempts"] + 1)
            job.update(state="queued", runAt=clock.ms(), maxAttempts=most, asked=False)
            job.update(crashes=0, snoozes=0)

    @rule(seconds=st.sampled_from([0.6, 5, 40]))
    def wait(self, seconds: float) -> None:
        self.fake.advance(seconds)

    @rule(seconds=st.sampled_from([-3600, 3600]))
    def set_clock(self, seconds: int) -> None:
        self.fake.step(seconds)

    # ---- what must hold ----

    @invariant()
    def the_rows_are_the_model(self) -> None:
        columns = ("state", "attempts", "crashes", "snoozes", "lockedBy", "runAt", "maxAttempts")
        rows = fetch(self.connection, "SELECT * FROM queueJobs")
        stored = {row["id"]: {name: row[name] for name in columns} for row in rows}
        assert stored == {
            id_: {name: job[name] for name in columns} for id_, job in self.jobs.items()
        }

    @invariant()
    def none_is_queued_without_an_attempt_to_spend(self) -> None:
        for job in self.jobs.values():
            assert job["state"] != "queued" or job["attempts"] < job["maxAttempts"]

    def in_state(self, *states: str) -> list[str]:
        return [id_ for id_, job in self.jobs.items() if job["state"] in states]


@pytest.mark.feature("Q-05", "Q-08", "Q-10", "Q-17")
def test_the_queue_does_what_its_model_does() -> None:
    runs = int(os.environ.get("HOLDFAST_MODEL_RUNS", "200"))
    case = Model.TestCase
    case.settings = settings(max_examples=runs, stateful_step_count=50, deadline=None)
    case().runTest()
