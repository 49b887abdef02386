"""What FlashAttention-3 and FlashInfer are told: pretended libraries that compute by the reference."""

import itertools
import random
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionBackend, AttentionRule
from baton.engine.attention.flash_attn import FlashAttention
from baton.engine.attention.flashinfer import FlashInfer
from baton.engine.plan import Slice, StepPlan
from tests.support.attention_steps import TOLERANCE, Step, random_step

RULES = [AttentionRule(0.2), AttentionRule(0.3, window=37), AttentionRule(0.1, softcap=0.7)]


def attended(
    query: Tensor, keys: Tensor, values: Tensor, scaling: float, left: int, cap: float
) -> Tensor:
    """Of one sequence: `query` [rows, heads, dim], keys [context, kv_heads, dim]; `left` -1: all."""
    group = query.shape[1] // keys.shape[1]
    k, v = (states.repeat_interleave(group, 1).transpose(0, 1) for states in (keys, values))
    scores = query.transpose(0, 1) @ k.transpose(1, 2) * scaling
    if cap:
        scores = cap * (scores / cap).tanh()
    own = torch.arange(len(keys) - len(query), len(keys))[:, None]
    at = torch.arange(len(keys))
    seen = (at <= own) & ((at >= own - left) if left >= 0 else True)
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v).transpose(0, 1)


class FakeFlashAttention:
    """With the names of arguments that FlashAttention-3 has, and no others."""

    def flash_attn_with_kvcache(
        self,
        q: Tensor,
        k_cache: Tensor,
        v_cache: Tensor,
        *,
        cache_seqlens: Tensor,
        page_table: Tensor,
        cu_seqlens_q: Tensor,
        max_seqlen_q: int,
        softmax_scale: float,
        causal: bool,
        window_size: tuple[int, int],
        softcap: float,
    ) -> Tensor:
        assert causal
        assert k_cache.stride(-1) == 1
        assert {t.dtype for t in (cache_seqlens, page_table, cu_seqlens_q)} == {torch.int32}
        ends = cu_seqlens_q.tolist()
        assert max_seqlen_q == max(b - a for a, b in itertools.pairwise(ends))
        parts = []
        for index, context in enumerate(cache_seqlens.tolist()):
            k, v = (
                cache[page_table[index].long()].flatten(0, 1)[:context]
                for cache in (k_cache, v_cache)
            )
            rows = q[ends[index] : ends[index + 1]]
            parts.append(attended(rows, k, v, softmax_scale, window_size[0], softcap))
        return torch.cat(parts)


class FakeFlashInfer:
    """A wrapper of paged prompts, with the names of arguments that are documented."""

    def BatchPrefillWithPagedKVCacheWrapper(self, workspace: Tensor, layout: str) -> Any:
        assert (workspace.dtype, layout) == (torch.uint8, "HND")
        return SimpleNamespace(plan=self._plan, run=self._run)

    def _plan(
        self,
        qo_indptr: Tensor,
        paged_kv_indptr: Tensor,
        paged_kv_indices: Tensor,
        paged_kv_last_page_len: Tensor,
        *shape: int,
        causal: bool,
        sm_scale: float,
        window_left: int,
        logits_soft_cap: float | None,
        q_data_type: torch.dtype,
        kv_data_type: torch.dtype,
    ) -> None:
        assert causal
        assert q_data_type == kv_data_type
        self._told = qo_indptr, paged_kv_indptr, paged_kv_indices, paged_kv_last_page_len
        self._shape = shape
        self._rule = sm_scale, window_left, logits_soft_cap or 0.0

    def _run(self, q: Tensor, kv: tuple[Tensor, Tensor]) -> Tensor:
        rows, pages, indices, last = (told.tolist() for told in self._told)
        assert self._shape == (q.shape[1], kv[0].shape[1], q.shape[2], kv[0].shape[2])
        parts = []
        for index, length in enumerate(last):
            used = indices[pages[index] : pages[index + 1]]
            context = (len(used) - 1) * kv[0].shape[2] + length
            k, v = (cache[used].transpose(1, 2).flatten(0, 1)[:context] for cache in kv)
            parts.append(attended(q[rows[index] : rows[index + 1]], k, v, *self._rule))
        return torch.cat(parts)


@pytest.fixture(params=[FlashAttention, FlashInfer])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "flash_attn_interface", FakeFlashAttention())
    monkeypatch.setitem(sys.modules, "flashinfer", FakeFlashInfer())
    return request.param


@pytest.mark.parametrize("rule", RULES)
def test_they_are_told_what_attention_is_over(backend: Any, rule: AttentionRule) -> None:
    step = random_step(random.Random(7), torch.float32, 16, 2, 32)
    pool = step.pool.clone()

    output = step.run(pool, backend, rule)

    assert (output.double() - step.expected(rule)).abs().max() < TOLERANCE[torch.float32]
    assert torch.equal(pool, step.written())


def test_a_fixed_decode_step_equals_one_that_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn_interface", FakeFlashAttention())
    check_fixed_step(FlashAttention)


def check_fixed_step(backend: Any) -> None:
    """Renewed twice: nothing of the first step is left in the second."""
    torch.manual_seed(3)
    pool = torch.randn(20, 2, 2, 2, 16, 16)
    made: AttentionBackend = backend(pool)
    fixed = backend(pool).decode_step(3, 100)
    rule = AttentionRule(0.25)
    for starts in ((70, 3, 0), (5, 64, 31)):
        tables = [tuple(range(5 * n, 5 * n + 5)) for n in range(3)]
        plan = StepPlan(tuple(Slice((0,), s, t, ()) for s, t in zip(starts, tables, strict=True)))
        rows = [torch.randn(3, heads, 16) for heads in (4, 2, 2)]
        step = Step(pool, plan, rows[0], rows[1], rows[2])
        fixed.renew(plan)

        output = fixed.forward(1, *rows, rule)

        torch.testing.assert_close(
            output, made.prepare(plan).forward(1, rows[0], rows[1], rows[2], rule)
        )
        torch.testing.assert_close(output.double(), step.expected(rule), atol=1e-5, rtol=0)
