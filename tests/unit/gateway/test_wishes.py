"""What a request may want of its placement, what contradicts itself, and whom it leaves."""

from typing import Any

import pytest

from baton.core.errors import RequestError
from baton.core.worker_info import Role, WorkerInfo
from gateway.placing.candidate import Candidate
from gateway.placing.selector import Selector
from gateway.placing.wishes import ANY, Mode, Wishes
from gateway.schema.transfer_params import read_wishes
from tests.support.gateway_members import make_fingerprint, make_info, make_load

P, D = Role.PREFILL, Role.DECODE
A, B = (("zone", "a"),), (("rack", "7"), ("zone", "b"))
OTHER = make_fingerprint("other")
CLUSTER = [
    make_info("p0", P, labels=A),
    make_info("p1", P, labels=B),
    make_info("d0", D, labels=A),
    make_info("d1", D, labels=B),
    make_info("odd", D, OTHER),
]


def refused(params: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_wishes(params).check(CLUSTER)
    assert str(caught.value).startswith(str(caught.value.param))
    return caught.value


def left(wishes: Wishes, infos: list[WorkerInfo] = CLUSTER) -> set[str]:
    candidates = wishes.of([Candidate(info, make_load()) for info in infos])
    return {candidate.info.worker_id for candidate in candidates}


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"prefill_worker": 3}, "prefill_worker"),
        ({"prefill_worker": ""}, "prefill_worker"),
        ({"prefill_worker": "x" * 257}, "prefill_worker"),
        ({"prefill_worker": {}}, "prefill_worker"),
        ({"prefill_worker": {"zone": 1}}, "prefill_worker"),
        ({"decode_worker": {"zo ne": "a"}}, "decode_worker"),
        ({"decode_worker": "zone=a,zone=b"}, "decode_worker"),
        ({"decode_worker": "zone="}, "decode_worker"),
        ({"mode": "decode"}, "mode"),
        ({"mode": ["auto"]}, "mode"),
        ({"avoid": "d0"}, "avoid"),
        ({"avoid": ["d0", 1]}, "avoid"),
        ({"avoid": ["x"] * 257}, "avoid"),
        ({"keep": -1}, "keep"),
        ({"keep": 3601}, "keep"),
        ({"keep": True}, "keep"),
        ({"keep": "60"}, "keep"),
        ({"keep": float("nan")}, "keep"),
        ({"prefil_worker": "p0"}, "prefil_worker"),
        ({"address": "10.0.0.1:80"}, "address"),
        ({"do_remote_decode": "yes"}, "do_remote_decode"),
        ({"do_remote_prefill": True, "do_remote_decode": True}, "do_remote_decode"),
        ({"remote_block_ids": [1]}, "remote_block_ids"),
        ({"do_remote_prefill": True, "remote_host": "h"}, "remote_ticket"),
        ({"do_remote_prefill": True, "remote_ticket": 1}, "remote_ticket"),
        ({"remote_bootstrap_addr": "http://h"}, "remote_bootstrap_addr"),
        ({"transfer_id": "t"}, "transfer_id"),
        ({"resume": ""}, "resume"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_key(params: Any, param: str) -> None:
    assert refused(params).param == f"kv_transfer_params.{param}"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"mode": "aggregated", "prefill_worker": "p0"}, "prefill_worker"),
        ({"decode_worker": "d0", "avoid": ["d1", "d0"]}, "decode_worker"),
        ({"do_remote_decode": True, "decode_worker": "d0"}, "do_remote_decode"),
        ({"do_remote_decode": True, "mode": "aggregated"}, "do_remote_decode"),
        ({"do_remote_decode": True, "resume": True}, "do_remote_decode"),
        (
            {"do_remote_prefill": True, "remote_ticket": "x", "prefill_worker": "p0"},
            "do_remote_prefill",
        ),
        ({"prefill_worker": "zone=a", "avoid": [{"zone": "a"}]}, "prefill_worker"),
        ({"prefill_worker": "p1", "avoid": ["rack=7"]}, "prefill_worker"),
        ({"decode_worker": "zone=a", "avoid": ["d0"]}, "decode_worker"),
        ({"decode_worker": "p0"}, "decode_worker"),
        ({"prefill_worker": "d0"}, "prefill_worker"),
        ({"prefill_worker": "p7"}, "prefill_worker"),
        ({"decode_worker": {"zone": "a", "rack": "7"}}, "decode_worker"),
        ({"prefill_worker": "p0", "decode_worker": "odd"}, "prefill_worker"),
    ],
)
def test_what_nobody_could_ever_grant_is_refused_by_its_key(params: Any, param: str) -> None:
    assert refused(params).param == f"kv_transfer_params.{param}"


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"do_remote_prefill": False, "do_remote_decode": False, "remote_host": None},
        {"prefill_worker": None, "mode": "auto", "avoid": []},
    ],
)
def test_what_asks_for_nothing_leaves_everybody(params: Any) -> None:
    wishes = read_wishes(params)
    assert (wishes, wishes.lane, wishes.particular) == (ANY, None, False)
    assert left(wishes) == {"p0", "p1", "d0", "d1", "odd"}


@pytest.mark.parametrize(
    ("params", "workers"),
    [
        ({"prefill_worker": "p1"}, {"p1", "d0", "d1", "odd"}),
        ({"decode_worker": "zone=a"}, {"p0", "p1", "d0"}),
        ({"decode_worker": {"rack": "7", "zone": "b"}}, {"p0", "p1", "d1"}),
        ({"mode": "aggregated"}, {"d0", "d1", "odd"}),
        ({"avoid": ["zone=b", "odd"]}, {"p0", "d0"}),
        ({"avoid": ["gone"]}, {"p0", "p1", "d0", "d1", "odd"}),
        ({"prefill_worker": "zone=a", "avoid": ["d0", "odd"]}, {"p0", "d1"}),
    ],
)
def test_wishes_leave_whoever_fits_them(params: Any, workers: set[str]) -> None:
    wishes = read_wishes(params)
    wishes.check(CLUSTER)
    assert left(wishes) == workers


def test_disaggregated_is_refused_where_nobody_but_decode_workers_has_ever_been() -> None:
    wishes = read_wishes({"mode": "disaggregated"})
    with pytest.raises(RequestError, match="needs a prefill worker") as caught:
        wishes.check([info for info in CLUSTER if info.role is D])
    assert caught.value.param == "kv_transfer_params.mode"
    for known in (CLUSTER, []):  # one that is away is waited for, and so is a cluster that starts
        wishes.check(known)


def test_a_prefill_worker_that_is_named_is_a_pair_and_so_is_disaggregated() -> None:
    assert Wishes().may_be_alone
    assert Wishes(mode=Mode.AGGREGATED).may_be_alone
    assert not Wishes(mode=Mode.DISAGGREGATED).may_be_alone
    assert not Wishes(prefill=Selector("p0")).may_be_alone


def test_equal_wishes_wait_in_one_lane() -> None:
    ways: list[dict[str, Any]] = [
        {"decode_worker": "zone=b,rack=7"},
        {"decode_worker": {"rack": "7", "zone": "b"}},
    ]
    assert len({read_wishes(way).lane for way in ways}) == 1
    assert read_wishes(ways[0]).lane != read_wishes({"decode_worker": "rack=7"}).lane
