"""A slow beam search, worked out from whole sequences: the oracle of the engine's.

Written from the rule alone: it keeps every hypothesis, never ends early, and knows no pool.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from baton.engine.runners.hash_candidates import candidates
from baton.engine.runners.hash_model import HashModelConfig, kv_entry, past_hash

Tokens = tuple[int, ...]
Propose = Callable[[Tokens], list[tuple[int, float]]]  # prompt + answer -> (token, logprob)


@dataclass(frozen=True, slots=True)
class Found:
    best: tuple["Hypothesis", ...]  # in order
    margin: float  # the closest decision, as a difference of sums or of scores


@dataclass(frozen=True, slots=True)
class Hypothesis:
    tokens: Tokens  # of the answer
    total: float
    reason: FinishReason
    score: float


def beam_search(
    propose: Propose,
    prompt: Tokens,
    params: SamplingParams,
    eos: frozenset[int],
    max_len: int,
) -> Found:
    """`propose` gives the best 2 n continuations; `max_len` is of prompt + answer."""
    assert params.beam is not None
    penalty = params.beam.length_penalty
    stops = set(params.stop_token_ids) | (set() if params.ignore_eos else eos)

    def hypothesis(tokens: Tokens, total: float, reason: FinishReason) -> Hypothesis:
        length = len(prompt) + len(tokens) - (tokens[-1] in eos)
        return Hypothesis(tokens, total, reason, total / length**penalty)

    live: list[tuple[Tokens, float]] = [((), 0.0)]
    done: list[Hypothesis] = []
    margin = math.inf
    for _ in range(min(params.max_tokens, max_len - len(prompt))):
        longer = [
            ((*tokens, token), total + logprob)
            for tokens, total in live
            for token, logprob in propose((*prompt, *tokens))
        ]
        done += [hypothesis(t, v, FinishReason.STOP) for t, v in longer if t[-1] in stops]
        going = [(t, v) for t, v in longer if t[-1] not in stops]
        going.sort(key=lambda one: (-one[1], one[0]))
        live, lost = going[: params.n], going[params.n :]
        if lost:
            margin = min(margin, live[-1][1] - lost[0][1])
    done += [hypothesis(t, v, FinishReason.LENGTH) for t, v in live]
    done.sort(key=lambda one: (-one.score, one.tokens))
    for better, worse in itertools.pairwise(done[: params.n + 1]):
        margin = min(margin, better.score - worse.score)
    return Found(tuple(done[: params.n]), margin)


def as_records(prompt: Tokens, found: Found) -> tuple[tuple[TokenRecord, ...], ...]:
    """By choice, without log-probabilities."""
    return tuple(
        tuple(
            TokenRecord(
                choice,
                len(prompt) + index,
                token,
                one.reason if index == len(one.tokens) - 1 else None,
            )
            for index, token in enumerate(one.tokens)
        )
        for choice, one in enumerate(found.best)
    )


def hash_beams(
    config: HashModelConfig, prompt: Tokens, params: SamplingParams, max_len: int | None = None
) -> tuple[tuple[TokenRecord, ...], ...]:
    """What a hash model must answer. `max_len` None: the model's own length."""

    def propose(tokens: Tokens) -> list[tuple[int, float]]:
        return list(
            candidates(config.vocab_size, past_hash([_kv_of(config, tokens)]), 2 * params.n)
        )

    length = max_len or config.max_position_embeddings
    eos = frozenset({config.eos_token_id})
    return as_records(prompt, beam_search(propose, prompt, params, eos, length))


def _kv_of(config: HashModelConfig, tokens: Tokens) -> bytes:
    """Row after row, each by position."""
    entries = [kv_entry(config, token, position) for position, token in enumerate(tokens)]
    width = config.head_dim
    return b"".join(
        entry[row * width : (row + 1) * width]
        for row in range(config.num_rows)
        for entry in entries
    )
