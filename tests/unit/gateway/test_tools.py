"""Tools and the choice among them: what is meant, what is refused, what the template is shown."""

from typing import Any

import pytest
from pydantic import ValidationError

from baton.core.errors import RequestError
from gateway.schema.tools import ToolFields
from gateway.tool_use import ToolFunction, ToolMode, ToolUse

EMPTY = {"type": "object"}
WITH_A = {"type": "object", "properties": {"a": {"type": "integer"}}}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def named(name: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


LOOK, FIND = function("look"), function("find", parameters=WITH_A)


def read(**fields: Any) -> ToolFields:
    return ToolFields.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "mode", "names"),
    [
        ({}, ToolMode.OFF, ()),
        ({"tools": []}, ToolMode.OFF, ()),
        ({"tools": [], "tool_choice": "auto"}, ToolMode.OFF, ()),
        ({"tool_choice": "none"}, ToolMode.OFF, ()),
        ({"tools": [LOOK, FIND]}, ToolMode.AUTO, ("look", "find")),
        ({"tools": [LOOK], "tool_choice": None}, ToolMode.AUTO, ("look",)),
        ({"tools": [LOOK], "tool_choice": "auto"}, ToolMode.AUTO, ("look",)),
        ({"tools": [LOOK], "tool_choice": "none"}, ToolMode.OFF, ()),
        ({"tools": [LOOK, FIND], "tool_choice": "required"}, ToolMode.REQUIRED, ("look", "find")),
        ({"tools": [LOOK, FIND], "tool_choice": named("find")}, ToolMode.NAMED, ("find",)),
    ],
)
def test_the_choice_is_what_it_says_or_follows_from_the_tools(
    fields: dict[str, Any], mode: ToolMode, names: tuple[str, ...]
) -> None:
    use = read(**fields).tool_use
    assert (use.mode, use.names) == (mode, names)
    assert tuple(function.name for function in use.functions) == names
    assert use.mode.forced is (mode in (ToolMode.REQUIRED, ToolMode.NAMED))


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "auto"},
        {"tool_choice": "required"},
        {"tools": [], "tool_choice": "required"},
        {"tool_choice": named("look")},
        {"tools": [LOOK], "tool_choice": named("find")},
    ],
)
def test_a_choice_that_the_tools_do_not_offer_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        _ = read(**fields).tool_use
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize(
    "choice",
    [
        *("any", "", 5, True, [], {}, named(""), named(5), {"type": "function"}),
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [LOOK]}},
        {"type": "custom", "custom": {"name": "look"}},
        {"function": {"name": "look"}},
    ],
)
def test_any_other_choice_is_refused(choice: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        read(tools=[LOOK], tool_choice=choice)
    assert {error["loc"][0] for error in caught.value.errors()} == {"tool_choice"}


@pytest.mark.parametrize(
    "tool",
    [
        *("look", 5, {}, {"type": "function"}, {"type": "custom", "custom": {"name": "x"}}),
        *(function(""), function("x", parameters=[]), function("x", parameters="{}")),
        function("x", parameters={"type": "string"}),
        {"type": "web_search"},
    ],
)
def test_a_tool_that_is_no_function_is_refused(tool: Any) -> None:
    with pytest.raises(ValidationError):
        read(tools=[tool])


def test_arguments_are_an_object_whatever_is_said_of_them() -> None:
    tools = [LOOK, FIND, function("free", parameters={"additionalProperties": False})]
    assert read(tools=tools).tool_use.functions == (
        ToolFunction("look"),
        ToolFunction("find", WITH_A),
        ToolFunction("free", {**EMPTY, "additionalProperties": False}),
    )


@pytest.mark.parametrize(("said", "parallel"), [({}, True), (True, True), (False, False)])
def test_calls_are_parallel_unless_it_is_said_otherwise(said: Any, parallel: bool) -> None:
    fields = {} if said == {} else {"parallel_tool_calls": said}
    assert read(tools=[LOOK], **fields).tool_use == ToolUse(
        ToolMode.AUTO, ("look",), parallel, (ToolFunction("look"),)
    )


def test_the_template_is_shown_what_was_written() -> None:
    tool = function("look", description="d", parameters=WITH_A, strict=True, **{"return": "r"})
    assert read(tools=[tool]).shown_tools == [tool]
    assert read(tools=[]).shown_tools is None
