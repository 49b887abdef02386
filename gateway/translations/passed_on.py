"""Fields of the chat that its neighbours lack: vLLM's own ones are passed on under their names."""

from collections.abc import Mapping

from baton.core.errors import RequestError
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.fields import DANGEROUS

PASSED_ON = frozenset(
    [
        "allowed_token_ids",
        "bad_words",
        "cache_salt",
        "chat_template_kwargs",
        "frequency_penalty",
        "ignore_eos",
        "include_stop_str_in_output",
        "logit_bias",
        "min_p",
        "min_tokens",
        "presence_penalty",
        "priority",
        "repetition_penalty",
        "seed",
        "skip_special_tokens",
        "stop",
        "stop_token_ids",
        "structured_outputs",
        "top_k",
        "vllm_xargs",
    ]
)


def passed_on(foreign: Mapping[str, object]) -> dict[str, object]:
    """Of the fields that the API itself does not have, those that act in the chat. Raises
    RequestError for other fields of the chat: what they change has no place in the answer.
    """
    for name, value in foreign.items():
        if name not in PASSED_ON and value is not None and _is_of_the_chat(name):
            raise RequestError(f"{name!r} is not a field of this API", name)
    return {name: value for name, value in foreign.items() if name in PASSED_ON}


def ignored(foreign: Mapping[str, object]) -> list[str]:
    return [name for name in foreign if name not in PASSED_ON]


def _is_of_the_chat(name: str) -> bool:
    return name in DANGEROUS or name in ChatCompletionRequest.model_fields
