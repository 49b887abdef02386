"""What is drawn on a device is what the sampler draws, and nobody waits for it."""

import random

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Draw
from baton.engine.sampling import device_sampler, sampler
from baton.engine.sampling.device_sampler import first_look
from tests.support.no_sync import HostWaits, NoHostSync


def random_draw(rng: random.Random, **fields: float) -> Draw:
    wishes = {
        "temperature": rng.choice([0.0, 0.1, 0.7, 1.0, 1.7]),
        "top_p": rng.choice([1.0, 1.0, 0.999, 0.9, 0.5, 0.01]),
        "top_k": rng.choice([0, 0, 1, 2, 20, 300, 100_000]),
        "min_p": rng.choice([0.0, 0.0, 0.0, 0.02, 0.5]),
        **fields,
    }
    params = SamplingParams(8, rng.getrandbits(63), n=8, **wishes)  # type: ignore[arg-type]
    return Draw(rng.randrange(4), rng.randrange(5000), params)


def random_logits(rows: int, vocab: int, spread: float) -> Tensor:
    generator = torch.Generator().manual_seed(rows + vocab)
    return torch.randn(rows, vocab, generator=generator) * spread


@pytest.mark.parametrize(("vocab", "spread"), [(5, 1.0), (700, 2.0), (3000, 0.05), (3000, 4.0)])
def test_what_is_certain_is_what_the_sampler_draws(vocab: int, spread: float) -> None:
    rng = random.Random(vocab)
    draws = [random_draw(rng) for _ in range(80)]
    logits = random_logits(80, vocab, spread)

    looked = first_look(logits, draws).tolist()

    expected = sampler.sample(logits, draws)
    certain = [row for row, (_, sure) in enumerate(looked) if sure]
    assert [looked[row][0] for row in certain] == [expected[row] for row in certain]
    assert len(certain) >= (60 if spread < 1 else 75), "most draws are settled on the device"


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {"top_p": 1.0, "top_k": 0}, {"top_k": 4}])
def test_a_batch_of_one_kind_is_drawn_like_a_mixed_one(fields: dict[str, float]) -> None:
    rng = random.Random(1)
    fields = {"temperature": 1.3, **fields}
    draws = [random_draw(rng, **fields) for _ in range(20)]
    logits = random_logits(20, 400, 2.0)

    looked = first_look(logits, draws)

    assert looked[:, 1].all()
    assert looked[:, 0].tolist() == sampler.sample(logits, draws)


def test_ties_that_a_first_look_cannot_settle_are_not_called_certain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_sampler, "FIRST_LOOK", 4)
    draws = [random_draw(random.Random(2), temperature=1.0, top_k=3, top_p=1.0, min_p=0.0)]

    looked = first_look(torch.zeros(1, 100), draws)

    assert looked[0, 1] == 0


def test_logits_are_left_as_they_were() -> None:
    rng = random.Random(3)
    logits = random_logits(12, 50, 1.0)
    before = logits.clone()

    first_look(logits, [random_draw(rng) for _ in range(12)])

    assert torch.equal(logits, before)


def test_nobody_waits_for_the_device() -> None:
    rng = random.Random(4)
    draws = [random_draw(rng) for _ in range(40)]
    logits = random_logits(40, 2000, 2.0)

    with NoHostSync():
        first_look(logits, draws)
        with pytest.raises(HostWaits):
            sampler.sample(logits, draws)


def test_it_computes_where_the_logits_lie() -> None:
    """On a pretended device, where mixing devices raises as it does on a true one."""
    rng = random.Random(5)
    draws = [random_draw(rng) for _ in range(40)]

    with FakeTensorMode():
        looked = first_look(torch.empty(40, 2000, device="meta"), draws)

    assert looked.shape == (40, 2)
    assert looked.device.type == "meta"
