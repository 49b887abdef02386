"""Everything that core says survives the wire."""

import pytest

from baton.core.fingerprint import Fingerprint
from baton.core.handoff import Epoch, Handoff, new_id, new_ticket
from baton.core.layout import LayoutDescriptor
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from baton.rpc import wire

LAYOUT = LayoutDescriptor(28, 8, 128, 16, "bfloat16")
FINGERPRINT = Fingerprint(1, "aa", "main", "bb", "bfloat16", LAYOUT, "cc", "avx512")


@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 2**63 - 1])
def test_sampling_params_survive(seed: int) -> None:
    params = SamplingParams(7, seed, temperature=0.1, top_p=0.3, top_k=5, n=3, ignore_eos=True)
    assert wire.sampling_from_pb(wire.sampling_to_pb(params)) == params


@pytest.mark.parametrize("reason", [None, *FinishReason])
def test_a_token_record_survives(reason: FinishReason | None) -> None:
    record = TokenRecord(2, 513, 151_935, reason)
    assert wire.record_from_pb(wire.record_to_pb(record)) == record


@pytest.mark.parametrize("role", list(Role))
def test_a_worker_survives(role: Role) -> None:
    info = WorkerInfo("w-0", "ff", role, "h:1", "http://h:2", 3, "m", 4096, 99, FINGERPRINT)
    assert wire.worker_info_from_pb(wire.worker_info_to_pb(info)) == info


@pytest.mark.parametrize("state", list(WorkerState))
def test_a_load_survives(state: WorkerState) -> None:
    load = WorkerLoad(state, 1, 2, 3, 4, 5, 6)
    assert wire.worker_load_from_pb(wire.worker_load_to_pb(load)) == load


def test_a_handoff_and_its_epoch_survive() -> None:
    handoff = Handoff(new_id(), new_ticket(), "h:1", "ff")
    assert wire.handoff_from_pb(wire.handoff_to_pb(handoff)) == handoff
    assert wire.epoch_from_pb(wire.epoch_to_pb(Epoch("ff", 2**40))) == Epoch("ff", 2**40)
