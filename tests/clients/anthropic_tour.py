"""The `anthropic` client."""

from typing import Any

import anthropic
from tour import ANSWER, PARAMETERS, QUESTION, WEATHER, Served, refusal, run

COLD = {"temperature": 0}  # newer clients have no parameter for it
ASK: Any = [{"role": "user", "content": QUESTION}]
TOOL: Any = {
    "name": WEATHER,
    "description": "The weather in a city.",
    "input_schema": PARAMETERS,
}


def messages_of(served: Served) -> Any:
    client = anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0)
    return client.messages


def talk(served: Served) -> None:
    messages = messages_of(served)
    options: dict[str, Any] = {
        "model": served.model,
        "max_tokens": 24,
        "system": "Be brief.",
        "messages": ASK,
        "extra_body": COLD,
    }
    whole = messages.create(**options)
    assert whole.stop_reason in ("end_turn", "max_tokens")
    with messages.stream(**options) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "".join(block.text for block in whole.content if block.type == "text")
    assert final.usage.output_tokens == whole.usage.output_tokens
    counted = messages.count_tokens(model=served.model, system="Be brief.", messages=ASK)
    usage = whole.usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens
    hot, lost = options | {"extra_body": {"temperature": 9}}, options | {"model": "nobody"}
    error: Any = refusal(anthropic.BadRequestError, lambda: messages.create(**hot))
    assert "temperature" in error.message
    assert error.body["error"]["type"] == "invalid_request_error"
    refusal(anthropic.NotFoundError, lambda: messages.create(**lost))


def tools(served: Served) -> None:
    messages = messages_of(served)
    options: dict[str, Any] = {
        "model": served.model,
        "max_tokens": 256,
        "tools": [TOOL],
        "extra_body": COLD,
    }
    whole = messages.create(messages=ASK, tool_choice={"type": "auto"}, **options)
    assert whole.stop_reason == "tool_use"
    (call,) = [block for block in whole.content if block.type == "tool_use"]
    assert call.name == WEATHER
    served.check_city(call.input)
    with messages.stream(messages=ASK, tool_choice={"type": "auto"}, **options) as stream:
        final = stream.get_final_message()
    (same,) = [block for block in final.content if block.type == "tool_use"]
    assert same.input == call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": ANSWER}
    turns = [
        *ASK,
        {"role": "assistant", "content": whole.content},
        {"role": "user", "content": [result]},
    ]
    last = messages.create(messages=turns, **options)
    text = "".join(block.text for block in last.content if block.type == "text")
    assert "sunny" in text.lower(), last


run(talk, tools)
