"""The `openai` client."""

import json
from typing import Any, Literal

import openai
from pydantic import BaseModel
from tour import ANSWER, FUNCTION, QUESTION, TOOL, WEATHER, Served, refusal, run

ASK: Any = [{"role": "user", "content": QUESTION}]
SAME: dict[str, Any] = {"temperature": 0, "max_tokens": 24}


class Report(BaseModel):
    city: Literal["Paris", "Rome", "Tokyo"]
    sunny: bool


def client_of(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=served.openai, api_key="none", max_retries=0)


def talk(served: Served) -> None:
    client = client_of(served)
    assert client.models.retrieve(served.model).id == served.model
    assert served.model in [model.id for model in client.models.list()]
    chat = client.chat.completions
    whole = chat.create(model=served.model, messages=ASK, **SAME)
    assert whole.choices[0].finish_reason in ("stop", "length")
    chunks = list(
        chat.create(
            model=served.model,
            messages=ASK,
            stream=True,
            stream_options={"include_usage": True},
            **SAME,
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == (whole.choices[0].message.content or "")
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    hot = {"model": served.model, "messages": ASK, "temperature": 9}
    error = refusal(openai.BadRequestError, lambda: chat.create(**hot))
    assert error.param == "temperature"


def responses(served: Served) -> None:
    api = client_of(served).responses
    options: dict[str, Any] = {"model": served.model, "temperature": 0, "max_output_tokens": 24}
    whole = api.create(input=QUESTION, instructions="Be brief.", **options)
    assert whole.status in ("completed", "incomplete")
    kinds = []
    text = ""
    for event in api.create(input=QUESTION, instructions="Be brief.", stream=True, **options):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == f"response.{whole.status}"
    assert text == whole.output_text
    assert api.retrieve(whole.id).output_text == whole.output_text
    following = api.create(input="And in Rome?", previous_response_id=whole.id, **options)
    assert following.previous_response_id == whole.id
    assert following.usage is not None
    assert whole.usage is not None
    assert following.usage.input_tokens > whole.usage.input_tokens
    api.delete(whole.id)
    refusal(openai.NotFoundError, lambda: api.retrieve(whole.id))


def tools(served: Served) -> None:
    chat = client_of(served).chat.completions
    options: dict[str, Any] = {"model": served.model, "tools": [TOOL], "temperature": 0}
    whole = chat.create(messages=ASK, tool_choice="auto", **options)
    assert whole.choices[0].finish_reason == "tool_calls"
    message = whole.choices[0].message
    call: Any = (message.tool_calls or [])[0]
    assert call.function.name == WEATHER
    served.check_city(json.loads(call.function.arguments))
    with chat.stream(messages=ASK, tool_choice="auto", **options) as stream:
        streamed = stream.get_final_completion().choices[0].message
    same: Any = (streamed.tool_calls or [])[0]
    assert (same.function.name, same.function.arguments) == (WEATHER, call.function.arguments)
    told = {"role": "tool", "tool_call_id": call.id, "content": ANSWER}
    turns = [*ASK, message.model_dump(exclude_none=True), told]
    last = chat.create(messages=turns, max_tokens=64, **options).choices[0].message
    assert "sunny" in (last.content or "").lower(), last


def structured(served: Served) -> None:
    client = client_of(served)
    parsed = client.chat.completions.parse(
        model=served.model, messages=ASK, response_format=Report, temperature=0
    )
    report = parsed.choices[0].message.parsed
    assert isinstance(report, Report)
    response = client.responses.parse(
        model=served.model, input=QUESTION, text_format=Report, temperature=0
    )
    assert isinstance(response.output_parsed, Report)
    assert report.city == response.output_parsed.city == "Paris"


def responses_tools(served: Served) -> None:
    api = client_of(served).responses
    tool: Any = {"type": "function", **FUNCTION, "strict": True}
    options: dict[str, Any] = {"model": served.model, "tools": [tool], "temperature": 0}
    whole = api.create(input=QUESTION, tool_choice="auto", **options)
    (call,) = [item for item in whole.output if item.type == "function_call"]
    served.check_city(json.loads(call.arguments))
    with api.stream(input=QUESTION, tool_choice="auto", **options) as stream:
        final = stream.get_final_response()
    (same,) = [item for item in final.output if item.type == "function_call"]
    assert same.arguments == call.arguments
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": ANSWER}
    last = api.create(
        input=[output], previous_response_id=whole.id, max_output_tokens=64, **options
    )
    assert "sunny" in last.output_text.lower(), last


run(talk, responses, tools, structured, responses_tools)
