"""What a hash model must answer, worked out from tokens alone: the oracle of its tests."""

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, PromptLogprobs, TokenRecord
from baton.engine.plan import Draw, Drawn
from baton.engine.runners.hash_model import (
    HashModelConfig,
    kv_entry,
    next_token,
    past_hash,
    pseudo_logprobs,
)

Answer = tuple[TokenRecord, ...]  # of one choice, by position


def hash_answer(
    config: HashModelConfig,
    prompt: tuple[int, ...],
    params: SamplingParams,
    max_model_len: int | None = None,
) -> tuple[Answer, ...]:
    """One answer per choice. `max_model_len` None: the model's own.

    Knows no pool, no block and no step: every entry is computed again from its token.
    """
    length = max_model_len or config.max_position_embeddings
    return tuple(_answer(config, prompt, params, choice, length) for choice in range(params.n))


def hash_scores(config: HashModelConfig, prompt: tuple[int, ...], count: int) -> PromptLogprobs:
    """Of all prompt tokens but the first, with `count` alternatives each."""
    rows = [bytearray() for _ in range(config.num_rows)]
    entries = []
    for position, token in enumerate(prompt[:-1]):
        _append(config, rows, token, position)
        past = past_hash([b"".join(rows)])
        entries.append(pseudo_logprobs(config, past, prompt[position + 1], count))
    return PromptLogprobs(1, tuple(entries))


def _answer(
    config: HashModelConfig,
    prompt: tuple[int, ...],
    params: SamplingParams,
    choice: int,
    max_model_len: int,
) -> Answer:
    rows = [bytearray() for _ in range(config.num_rows)]
    for position, token in enumerate(prompt):
        _append(config, rows, token, position)
    records: list[TokenRecord] = []
    last = min(len(prompt) + params.max_tokens, max_model_len) - 1  # position of the last token
    for position in range(len(prompt), last + 1):
        draw = Draw(choice, position, params, num_prompt=len(prompt))
        drawn = next_token(config, [b"".join(rows)], draw)
        assert isinstance(drawn, Drawn), drawn
        token = drawn.token_id
        ends = token == config.eos_token_id and not params.ignore_eos
        ends |= token in params.stop_token_ids
        ends &= position + 1 - len(prompt) >= params.min_tokens
        reason = FinishReason.LENGTH if position == last else None
        if ends:
            reason = FinishReason.STOP
        records.append(TokenRecord(choice, position, token, reason, drawn.logprobs))
        if ends:
            break
        _append(config, rows, token, position)
    return tuple(records)


def _append(config: HashModelConfig, rows: list[bytearray], token: int, position: int) -> None:
    entry, width = kv_entry(config, token, position), config.head_dim
    for index, row in enumerate(rows):
        row += entry[index * width : (index + 1) * width]
