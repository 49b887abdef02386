"""LiteLLM, to which the server is an OpenAI and an Anthropic one."""

import json
from typing import Any

import litellm
from tour import QUESTION, TOOL, WEATHER, Served, run

ASK: Any = [{"role": "user", "content": QUESTION}]


def places(served: Served) -> list[dict[str, Any]]:
    return [
        {"model": f"openai/{served.model}", "api_base": served.openai, "api_key": "none"},
        {"model": f"anthropic/{served.model}", "api_base": served.url, "api_key": "none"},
    ]


def talk(served: Served) -> None:
    for place in places(served):
        options = {**place, "messages": ASK, "temperature": 0, "max_tokens": 24}
        whole: Any = litellm.completion(**options)
        assert whole.usage.completion_tokens > 0
        chunks: Any = litellm.completion(**options, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == whole.choices[0].message.content
    response: Any = litellm.responses(input=QUESTION, max_output_tokens=24, **places(served)[0])
    assert response.status in ("completed", "incomplete")


def tools(served: Served) -> None:
    for place in places(served):
        options = {**place, "messages": ASK, "temperature": 0, "max_tokens": 256}
        whole: Any = litellm.completion(**options, tools=[TOOL], tool_choice="auto")
        (call,) = whole.choices[0].message.tool_calls
        assert call.function.name == WEATHER
        served.check_city(json.loads(call.function.arguments))
        assert whole.choices[0].finish_reason == "tool_calls"


run(talk, tools)
