"""Definitions of tools, under the many names that users give them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WEATHER_NAMES = (
    "get_weather",
    "weather",
    "get_current_weather",
    "current_weather",
    "fetch_weather",
    "lookup_weather",
    "weather_report",
    "getWeather",
    "check_weather",
    "weather_in",
)
_PLACES = ("city", "location", "place", "town", "city_name", "where")
_CALCULATOR_NAMES = (
    "calculator",
    "calculate",
    "calc",
    "evaluate",
    "eval_expression",
    "do_math",
    "math",
    "compute",
)
_EXPRESSIONS = ("expression", "expr", "formula", "term", "input", "calculation")
_VERBS = ("get", "fetch", "find", "lookup", "check", "read", "query")
TOPICS = (
    "price",
    "population",
    "time",
    "news",
    "score",
    "status",
    "distance",
    "balance",
    "schedule",
    "address",
    "rating",
    "owner",
    "size",
    "speed",
    "traffic",
    "menu",
)
_SUBJECTS = ("name", "item", "query", "target", "subject", "key", "id", "of", "title", "symbol")
_NUMBERS = (("a", "b"), ("x", "y"), ("first", "second"), ("left", "right"), ("num1", "num2"))


@dataclass(frozen=True, slots=True)
class Operation:
    names: tuple[str, ...]  # of tools
    said: tuple[str, ...]  # descriptions
    asked: tuple[str, ...]  # by users, of two numbers


OPERATIONS = {
    "+": Operation(
        ("add", "sum", "add_numbers", "plus"),
        ("Add two numbers", "The sum of two numbers"),
        ("What is {} + {}?", "Add {} and {}.", "How much is {} plus {}?", "Calculate {} + {}."),
    ),
    "-": Operation(
        ("subtract", "minus", "subtract_numbers", "difference"),
        ("Subtract two numbers", "The difference of two numbers"),
        ("What is {} - {}?", "How much is {} minus {}?", "Calculate {} - {}."),
    ),
    "*": Operation(
        ("multiply", "times", "multiply_numbers", "product"),
        ("Multiply two numbers", "The product of two numbers"),
        (
            "What is {} * {}?",
            "Multiply {} by {}.",
            "How much is {} times {}?",
            "Calculate {} * {}.",
        ),
    ),
}
_SAID = {
    "weather": (
        "Get the weather of a city",
        "Get the current weather",
        "The weather in a place",
        "Returns the weather for a location",
        "Look up the weather",
        "",
    ),
    "calculator": (
        "Evaluate an arithmetic expression",
        "Calculate a result",
        "A calculator",
        "Does arithmetic",
        "Computes the value of an expression",
        "",
    ),
}


@dataclass(frozen=True, slots=True)
class Tool:
    kind: str  # weather, calculator, or a topic
    name: str
    parameter: str
    units: bool  # it also takes "unit"
    spec: Mapping[str, Any]  # as in the OpenAI protocol


def weather_tool(rng: random.Random) -> Tool:
    return _tool(rng, "weather", rng.choice(_WEATHER_NAMES), rng.choice(_PLACES))


def calculator_tool(rng: random.Random) -> Tool:
    return _tool(rng, "calculator", rng.choice(_CALCULATOR_NAMES), rng.choice(_EXPRESSIONS))


def operation_tool(rng: random.Random, op: str) -> tuple[Tool, tuple[str, str]]:
    """And the names of its two numbers."""
    operation = OPERATIONS[op]
    name = rng.choice(operation.names)
    numbers = rng.choice(_NUMBERS)
    kind = rng.choice(("integer", "number"))
    said = rng.choice((*operation.said, ""))
    spec = _spec(rng, name, said, {number: {"type": kind} for number in numbers}, list(numbers))
    return Tool("calculator", name, numbers[0], False, spec), numbers


def topic_tool(rng: random.Random, topic: str) -> Tool:
    name = rng.choice((f"{rng.choice(_VERBS)}_{topic}", topic, f"{topic}_{rng.choice(_VERBS)}"))
    return _tool(rng, topic, name, rng.choice(_SUBJECTS + _PLACES))


def some_tools(rng: random.Random, *wanted: Tool, most: int = 2) -> tuple[Tool, ...]:
    """`wanted` among others of different kinds, mixed."""
    others = [topic for topic in TOPICS if topic not in {tool.kind for tool in wanted}]
    extra = [
        topic_tool(rng, topic)
        for topic in rng.sample(others, min(most, rng.choice((0, 0, 1, 1, 2))))
    ]
    tools = [*wanted, *extra]
    rng.shuffle(tools)
    return tuple(tools)


def _tool(rng: random.Random, kind: str, name: str, parameter: str) -> Tool:
    units = kind == "weather" and rng.random() < 0.25
    said = rng.choice(_SAID.get(kind, (f"Get the {kind}", f"The {kind} of something", "")))
    property_: dict[str, Any] = {"type": "string"}
    if rng.random() < 0.5:
        property_["description"] = rng.choice(
            (
                f"The {parameter}",
                parameter,
                "Name",
                "e.g. Paris",
                "City name",
                "The city and country",
            )
        )
    properties = {parameter: property_}
    if units:
        properties["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    spec = _spec(rng, name, said, properties, [parameter])
    return Tool(kind, name, parameter, units, spec)


def _spec(
    rng: random.Random, name: str, said: str, properties: dict[str, Any], required: list[str]
) -> dict[str, Any]:
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.9:
        parameters["required"] = required
    if rng.random() < 0.05:
        parameters["additionalProperties"] = False
    function: dict[str, Any] = {"name": name}
    if said:
        function["description"] = said
    function["parameters"] = parameters
    return {"type": "function", "function": function}
