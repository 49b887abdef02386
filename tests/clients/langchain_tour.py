"""LangChain's ChatOpenAI, over chat and over responses."""

from typing import Any, Literal

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from tour import ANSWER, QUESTION, TOOL, WEATHER, Served, run


class Report(BaseModel):
    """The weather in a city."""

    city: Literal["Paris", "Rome", "Tokyo"]
    sunny: bool


def model_of(served: Served, **options: Any) -> Any:
    base = {"base_url": served.openai, "api_key": "none", "max_retries": 0, "temperature": 0}
    return ChatOpenAI(model=served.model, **base, **options)


def talk(served: Served) -> None:
    for options in ({}, {"use_responses_api": True}):
        model = model_of(served, max_tokens=24, **options)
        whole = model.invoke(QUESTION)
        text = "".join(chunk.text for chunk in model.stream(QUESTION))
        assert text == whole.text
        assert whole.usage_metadata["output_tokens"] > 0


def tools(served: Served) -> None:
    model = model_of(served)
    bound = model.bind_tools([TOOL], tool_choice="auto")
    whole = bound.invoke(QUESTION)
    (call,) = whole.tool_calls
    assert call["name"] == WEATHER
    served.check_city(call["args"])
    streamed = None
    for chunk in bound.stream(QUESTION):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed is not None
    assert [same["args"] for same in streamed.tool_calls] == [call["args"]]
    turns = [HumanMessage(QUESTION), whole, ToolMessage(ANSWER, tool_call_id=call["id"])]
    last = model.bind_tools([TOOL]).invoke(turns, max_tokens=64)
    assert "sunny" in last.text.lower(), last


def structured(served: Served) -> None:
    report = model_of(served).with_structured_output(Report).invoke(QUESTION)
    assert isinstance(report, Report)
    assert report.city == "Paris"


run(talk, tools, structured)
