"""What the gateway's pages say, and what a planner makes of it."""

import math
from typing import Any

from baton.cluster.orchestrator import RunWorker, Stage
from baton.cluster.planner.observation import Costs, Times
from baton.cluster.planner.sight import observation, roles_now
from baton.core.step_totals import StepSums, StepTotals
from baton.core.worker_info import Role

SUMS = {
    "steps": 5,
    "seconds": 0.5,
    "sequences": 40,
    "context_tokens": 900,
    "read_tokens": 0,
    "read_pairs": 0.0,
}
NOTHING = dict.fromkeys(SUMS, 0)
METRICS = """
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 3
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0",model_name="m"} 8
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 10
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 10
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 9
"""


def worker(**changes: Any) -> dict[str, Any]:
    return {
        "id": "decode-0",
        "role": "decode",
        "state": "ready",
        "next_role": None,
        "pid": 7,
        "address": "h:1",
        "running": 3,
        "waiting": 2,
        "unread_tokens": 5,
        "free_blocks": 60,
        "total_blocks": 100,
        "steps": {"writing": SUMS, "reading": NOTHING},
        "costs": {"step": 0.1, "sequence": 0.2, "context": 0.3, "unread_token": 0.4},
        **changes,
    }


def status(*workers: dict[str, Any]) -> dict[str, Any]:
    return {"workers": list(workers), "queued": 4}


def test_all_that_is_needed_of_a_worker_is_there() -> None:
    seen = observation(9.0, status(worker()), METRICS)
    assert (seen.at, seen.queued) == (9.0, 4)
    [one] = seen.workers
    assert (one.worker_id, one.role, one.address, one.serves) == (
        "decode-0",
        Role.DECODE,
        "h:1",
        True,
    )
    assert (one.busy, one.waiting, one.unread_tokens) == (5, 2, 5)
    assert (one.used_blocks, one.total_blocks, one.process) == (40, 100, 7)
    assert one.steps == StepTotals(StepSums(5, 0.5, 40, 900), StepSums())
    assert one.costs == Costs(0.1, 0.2, 0.3, 0.4)
    assert seen.ttft == Times((0.1, 1.0, math.inf), (3, 8, 10))
    assert seen.itl == Times()


def test_a_worker_that_changes_its_role_counts_in_the_next_one_and_one_that_leaves_in_none() -> (
    None
):
    changing = worker(state="draining", next_role="prefill")
    leaving = worker(id="decode-1", state="draining")
    lost = worker(id="decode-2", state="unreachable", running=None, steps=None)
    seen = observation(0.0, status(changing, leaving, lost), "")
    assert [one.worker_id for one in seen.of(Role.PREFILL)] == ["decode-0"]
    assert seen.of(Role.DECODE) == []
    assert roles_now(status(changing)) == {"decode-0": Role.DECODE}


def test_workers_that_are_being_started_are_there_and_those_told_to_leave_are_not() -> None:
    own = [
        RunWorker("decode-0", Role.DECODE, Stage.READY),
        RunWorker("decode-1", Role.DECODE, Stage.DRAINING),
        RunWorker("decode-2", Role.DECODE, Stage.STARTING),
    ]
    seen = observation(0.0, status(worker(), worker(id="decode-1")), "", own)
    assert [one.worker_id for one in seen.of(Role.DECODE)] == ["decode-0", "decode-2"]


def test_times_in_between_and_the_share_that_was_late() -> None:
    bounds = (0.1, 1.0, math.inf)
    between = Times(bounds, (5, 12, 20)).since(Times(bounds, (3, 8, 10)))
    assert between.counts == (2, 4, 10)
    assert between.late(1.0) == 0.6
    assert between.late(0.5) == 0.6  # not sooner than the next bound is anything certain
    assert Times(bounds, (0, 0, 1)).since(Times(bounds, (3, 8, 10))) == Times()  # it was restarted
    assert Times().late(1.0) == 0.0


def test_who_encodes_images_is_left_out() -> None:
    encoder = worker(id="encode-0", role="encode")
    own = [RunWorker("encode-1", Role.ENCODE, Stage.STARTING)]
    seen = observation(9.0, status(worker(), encoder), METRICS, own)
    assert [one.worker_id for one in seen.workers] == ["decode-0"]
    assert roles_now(status(worker(), encoder)) == {"decode-0": Role.DECODE}
