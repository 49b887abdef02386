"""How much of a prompt's end is kept."""

from baton.core.errors import RequestError
from gateway.limits import Limits
from gateway.schema.template_fields import PromptFields


def kept_tokens(asked: PromptFields, limits: Limits, max_tokens: int | None) -> int | None:
    """None: all of it. -1 leaves room for `max_tokens`, or for one."""
    kept = asked.truncate_prompt_tokens
    if kept is None:
        return None
    if kept > limits.max_model_len:
        raise RequestError(
            f"truncate_prompt_tokens: {kept} is more than the model's maximum length, "
            f"{limits.max_model_len}",
            "truncate_prompt_tokens",
        )
    return kept if kept > 0 else max(1, limits.max_model_len - max(1, max_tokens or 1))


def kept_ids(ids: list[int], kept: int | None) -> list[int]:
    return ids if kept is None else ids[-kept:]


def kept_text(text: str, kept: int | None, longest_piece: int) -> str:
    """So much of its end that `kept` tokens and the ones before them can be told. No piece is
    longer than `longest_piece` characters.
    """
    return text if kept is None else text[-(2 * kept + 1024) * longest_piece :]
