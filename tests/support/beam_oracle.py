"""Beam searches over Hugging Face's own logits in float32, a whole forward per hypothesis."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from tests.support.beam_answer import Found, Tokens, beam_search
from tests.support.hugging_face import one_thread

NOISE = 1e-4  # a decision that is closer may be float32's rounding


class BeamOracle:
    def __init__(self, folder: Path, eos: frozenset[int]) -> None:
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        )
        self._eos = eos
        self._logits = lru_cache(maxsize=None)(self._forward)

    def search(self, prompt: Tokens, params: SamplingParams) -> Found:
        def propose(tokens: Tokens) -> list[tuple[int, float]]:
            logprobs = torch.log_softmax(self._logits(tokens) / params.temperature, dim=-1)
            best = logprobs.topk(2 * params.n)
            return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

        return beam_search(propose, prompt, params, self._eos, max_len=1 << 20)

    def _forward(self, tokens: Tokens) -> torch.Tensor:
        with one_thread(), torch.inference_mode():
            logits: torch.Tensor = self._model(torch.tensor([tokens]), use_cache=False).logits
        return logits[0, -1].double()


def assert_found(found: Found, records: tuple[TokenRecord, ...], params: SamplingParams) -> bool:
    """Beams, reasons and sums are equal. False, and nothing checked, if rounding may decide."""
    if found.margin < NOISE:
        return False
    for choice, one in enumerate(found.best):
        ours = [record for record in records if record.choice == choice]
        assert tuple(record.token_id for record in ours) == one.tokens
        assert [record.finish_reason for record in ours[:-1]] == [None] * (len(ours) - 1)
        assert ours[-1].finish_reason is one.reason
        told = [record.logprobs.logprob for record in ours if record.logprobs is not None]
        assert len(told) == len(ours)
        assert abs(sum(told) - one.total) < NOISE
    assert {record.choice for record in records} == set(range(params.n))
    return True
