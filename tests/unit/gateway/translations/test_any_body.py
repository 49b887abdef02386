"""Whatever JSON a client sends, it is translated or refused; nothing else happens."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from baton.core.errors import RequestError
from gateway.json_text import to_json
from gateway.schema.messages import REFUSED_IN_MESSAGES, CountTokensRequest, MessagesRequest
from gateway.schema.responses import REFUSED_IN_RESPONSES, ResponsesRequest
from gateway.translations import messages_request, responses_request
from gateway.translations.reading import read
from gateway.translations.responses_answer import begun

WORDS = [
    "type",
    "role",
    "content",
    "text",
    "name",
    "input",
    "id",
    "call_id",
    "arguments",
    "output",
    "summary",
    "input_schema",
    "schema",
    "parameters",
    "format",
    "effort",
    "user",
    "assistant",
    "function",
    "function_call",
    "function_call_output",
    "message",
    "reasoning",
    "tool_use",
    "tool_result",
    "tool_use_id",
    "thinking",
    "is_error",
    "json_schema",
    "enabled",
    "auto",
    "tool",
    "any",
    "encrypted_content",
    "baton:",
    "disabled",
    "budget_tokens",
    "custom",
    "input_text",
]
words = st.sampled_from(WORDS)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=3)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=12,
)
messages = st.lists(st.fixed_dictionaries({"role": words, "content": anything}), max_size=3)


def bodies(kind: type[CountTokensRequest] | type[ResponsesRequest]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(sorted(kind.model_fields)) | st.sampled_from(["top_k", "stop", "x"])
    good = {"messages": messages, "max_tokens": st.just(9), "input": anything | messages}
    needed = {name: value for name, value in good.items() if name in kind.model_fields}
    return st.builds(
        lambda extra, base: {**base, **extra},
        st.dictionaries(names, anything, max_size=3),
        st.fixed_dictionaries(needed),
    )


@given(bodies(ResponsesRequest))
def test_a_response_is_asked_for_or_refused(body: dict[str, Any]) -> None:
    with suppress(RequestError):
        asked = read(ResponsesRequest, REFUSED_IN_RESPONSES, json.dumps(body).encode())
        told = responses_request.chat_request(asked, [])
        to_json(told["messages"])
        to_json(told.get("tools"))
        to_json(begun(asked, "resp_1", 1))


@given(bodies(MessagesRequest))
def test_a_message_is_asked_for_or_refused(body: dict[str, Any]) -> None:
    with suppress(RequestError):
        asked = read(MessagesRequest, REFUSED_IN_MESSAGES, json.dumps(body).encode())
        to_json(messages_request.chat_request(asked)["messages"])
