"""What a hash model must answer, worked out from tokens alone: the oracle of its tests."""

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from baton.engine.hash_model import HashModelConfig, kv_entry, next_token
from baton.engine.plan import Draw

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
        token = next_token(config, [b"".join(rows)], Draw(choice, position, params))
        ends = token == config.eos_token_id and not params.ignore_eos
        reason = FinishReason.LENGTH if position == last else None
        records.append(TokenRecord(choice, position, token, FinishReason.STOP if ends else reason))
        if ends:
            break
        _append(config, rows, token, position)
    return tuple(records)


def _append(config: HashModelConfig, rows: list[bytearray], token: int, position: int) -> None:
    entry, width = kv_entry(config, token, position), config.head_dim
    for index, row in enumerate(rows):
        row += entry[index * width : (index + 1) * width]
