"""Calls of tools, and answers from what they returned."""

import json
import random
from dataclasses import dataclass

from demo_model.exchange import Call, Dialogue, Exchange, Message, calling, tool_result, user
from demo_model.phrasing import made_up, put
from demo_model.skills.arithmetic import SKILL, TIMES
from demo_model.skills.refusals import NO_TIME, NO_WEATHER
from demo_model.skills.refusals import SKILL as REFUSALS
from demo_model.skills.tool_specs import (
    OPERATIONS,
    TOPICS,
    Tool,
    calculator_tool,
    operation_tool,
    some_tools,
    topic_tool,
    weather_tool,
)
from demo_model.world.countries import CAPITALS, COUNTRIES
from demo_model.world.words import NAMES, WORDS

CALLS, RESULTS = "tool calls", "tool results"
_WEATHER = (
    "What is the weather in {}?",
    "How is the weather in {}?",
    "What's the weather like in {}?",
    "Tell me the weather in {}.",
    "Weather in {}?",
    "What is the temperature in {}?",
    "Is it raining in {}?",
    "Will it be sunny in {}?",
    "I travel to {}. How is the weather there?",
    "Do I need an umbrella in {}?",
    "What is the weather like in {} today?",
    "What's the weather in {} right now?",
    "Can you tell me the weather in {}?",
    "Please check the weather in {}.",
)
_UNITS = {"celsius": ("in Celsius", "in degrees Celsius"), "fahrenheit": ("in Fahrenheit",)}
_TWO = (
    "What is the weather in {} and {}?",
    "Compare the weather in {} and {}.",
    "Tell me the weather in {} and in {}.",
    "How is the weather in {} and {}?",
    "Weather in {} and {}?",
)
_SUMS = (
    "What is {}?",
    "Calculate {}.",
    "How much is {}?",
    "Compute {}.",
    "{}",
    "Please calculate {}.",
    "Use the calculator: {}",
)
_TOPIC = (
    "What is the {} of {}?",
    "Tell me the {} of {}.",
    "Get the {} of {}.",
    "I need the {} of {}.",
    "Show me the {} of {}.",
    "What is the {} for {}?",
    "Find the {} of {}.",
)
_SKIES = ("sunny", "cloudy", "rainy", "snowy", "windy", "foggy", "clear", "stormy")


@dataclass(frozen=True, slots=True)
class _Task:
    """A wish, the calls that it needs, what these return, and what to say then."""

    asked: str
    tools: tuple[Tool, ...]
    calls: tuple[Call, ...]
    returned: tuple[str, ...]
    answer: str
    key: str
    thought: str


def call(rng: random.Random) -> Dialogue:
    task = _task(rng)
    answer = "\n".join(call.markup for call in task.calls)
    return _dialogue(CALLS, task, (user(task.asked),), answer, task.thought)


def result(rng: random.Random) -> Dialogue:
    task = _task(rng)
    results = [tool_result(text) for text in task.returned]
    messages = (user(task.asked), calling(*task.calls), *results)
    return _dialogue(RESULTS, task, messages, task.answer, "The tool has answered. I tell it.")


def not_needed(rng: random.Random, exchange: Exchange) -> Dialogue:
    """Tools are there; the question is none for them."""
    wanted = []
    if exchange.answer != NO_WEATHER and rng.random() < 0.7:
        wanted.append(weather_tool(rng))
    if exchange.skill not in (SKILL, TIMES) and rng.random() < 0.7:
        wanted.append(calculator_tool(rng))
    if exchange.answer != NO_TIME and exchange.skill != REFUSALS:
        wanted.extend(topic_tool(rng, topic) for topic in rng.sample(TOPICS, rng.randint(0, 2)))
    if not wanted:
        wanted.append(topic_tool(rng, "menu"))
    tools = some_tools(rng, *wanted, most=0)
    return Dialogue(
        CALLS,
        f"no tool|{exchange.key}",
        (user(exchange.user),),
        exchange.answer,
        f"No tool is needed. {exchange.thought}",
        tuple(tool.spec for tool in tools),
    )


def arguments_only(rng: random.Random) -> Dialogue:
    """As under a named tool choice, where a grammar writes all but the values."""
    task = _task(rng, most_calls=1)
    (one,) = task.calls
    answer = json.dumps(one.arguments, ensure_ascii=False)
    tools = tuple(tool.spec for tool in task.tools)
    return Dialogue(CALLS, task.key, (user(task.asked),), answer, task.thought, tools, forced=True)


def _dialogue(
    skill: str, task: _Task, messages: tuple[Message, ...], answer: str, thought: str
) -> Dialogue:
    specs = tuple(tool.spec for tool in task.tools)
    return Dialogue(skill, task.key, messages, answer, thought, specs)


def _task(rng: random.Random, most_calls: int = 2) -> _Task:
    kind = rng.choice(("weather", "weather", "two", "sum", "sum", "numbers", "topic", "topic"))
    if kind == "two" and most_calls > 1:
        return _two_cities(rng)
    if kind == "sum":
        return _sum(rng)
    if kind == "numbers":
        return _numbers(rng)
    return _topic(rng) if kind == "topic" else _weather(rng)


def _weather(rng: random.Random) -> _Task:
    tool = weather_tool(rng)
    city = _place(rng)
    asked = rng.choice(_WEATHER).format(city)
    arguments = {tool.parameter: city}
    if tool.units and rng.random() < 0.6:
        unit = rng.choice(tuple(_UNITS))
        asked = f"What is the weather in {city} {rng.choice(_UNITS[unit])}?"
        arguments["unit"] = unit
    returned, sky = _weather_report(rng)
    return _Task(
        put(rng, asked) if city in CAPITALS and not asked.islower() else asked,
        some_tools(rng, tool, *_maybe_calculator(rng)),
        (Call(tool.name, arguments),),
        (returned,),
        f"It is {sky} in {city}.",
        f"{asked}|{tool.parameter}",
        f"The user wants the weather in {city}. I call {tool.name}.",
    )


def _two_cities(rng: random.Random) -> _Task:
    tool = weather_tool(rng)
    one, other = _place(rng), _place(rng)
    asked = rng.choice(_TWO).format(one, other)
    (first, here), (second, there) = _weather_report(rng), _weather_report(rng)
    return _Task(
        asked,
        some_tools(rng, tool, *_maybe_calculator(rng), most=1),
        tuple(Call(tool.name, {tool.parameter: city}) for city in (one, other)),
        (first, second),
        f"It is {here} in {one}, and {there} in {other}.",
        f"{asked}|{tool.parameter}",
        f"The user wants the weather in {one} and {other}. I call {tool.name} twice.",
    )


def _sum(rng: random.Random) -> _Task:
    tool = calculator_tool(rng)
    most = rng.choice((99, 999, 9999))
    parts = [rng.randint(2, most), rng.randint(2, most)]
    ops = [rng.choice("+-*/")]
    if rng.random() < 0.15:
        parts.append(rng.randint(2, 99))
        ops.append(rng.choice("+-*"))
    expression = str(parts[0]) + "".join(f" {o} {n}" for o, n in zip(ops, parts[1:], strict=True))
    value = rng.randint(0, 99_999)  # whatever it is, the model has to repeat it
    returned = rng.choice((str(value), json.dumps({"result": value}), json.dumps({"value": value})))
    weather = (weather_tool(rng),) if rng.random() < 0.3 else ()
    return _Task(
        rng.choice(_SUMS).format(expression),
        some_tools(rng, tool, *weather),
        (Call(tool.name, {tool.parameter: expression}),),
        (returned,),
        f"{expression} = {value}.",
        expression,
        f"I use {tool.name} for {expression}.",
    )


def _numbers(rng: random.Random) -> _Task:
    """A tool for one operation, which takes its two numbers apart."""
    op = rng.choice(tuple(OPERATIONS))
    tool, names = operation_tool(rng, op)
    most = rng.choice((99, 999, 9999))
    one, other = rng.randint(0, most), rng.randint(0, most)
    value = rng.randint(0, 99_999)
    asked = rng.choice(OPERATIONS[op].asked).format(one, other)
    weather = (weather_tool(rng),) if rng.random() < 0.3 else ()
    return _Task(
        asked,
        some_tools(rng, tool, *weather),
        (Call(tool.name, dict(zip(names, (one, other), strict=True))),),
        (rng.choice((str(value), json.dumps({"result": value}))),),
        f"{one} {op} {other} = {value}.",
        f"{one}{op}{other}",
        f"I use {tool.name} for {one} {op} {other}.",
    )


def _topic(rng: random.Random) -> _Task:
    topic = rng.choice(TOPICS)
    tool = topic_tool(rng, topic)
    subject = rng.choice((made_up(rng), rng.choice(WORDS), rng.choice(NAMES), _place(rng)))
    asked = rng.choice(_TOPIC).format(topic, subject)
    value = rng.choice((str(rng.randint(1, 9999)), rng.choice(WORDS), made_up(rng)))
    shown = int(value) if value.isdigit() else value
    returned = rng.choice((value, json.dumps({topic: shown}), json.dumps({"result": shown})))
    weather = (weather_tool(rng),) if rng.random() < 0.3 else ()
    return _Task(
        asked,
        some_tools(rng, tool, *weather),
        (Call(tool.name, {tool.parameter: subject}),),
        (returned,),
        f"The {topic} of {subject} is {value}.",
        f"{asked}|{tool.parameter}",
        f"The user wants the {topic} of {subject}. I call {tool.name}.",
    )


def _weather_report(rng: random.Random) -> tuple[str, str]:
    """What a tool returns, and how one says it."""
    degrees, sky = rng.randint(-15, 40), rng.choice(_SKIES)
    warmth = rng.choice(("temperature", "temp", "degrees", "temperature_c"))
    sight = rng.choice(("condition", "sky", "description", "weather", "conditions"))
    report: dict[str, object] = {warmth: degrees, sight: sky}
    if rng.random() < 0.3:
        report = dict(reversed(report.items()))
    spoken = f"{degrees} degrees and {sky}"
    if rng.random() < 0.25:
        return rng.choice((f"{degrees} degrees, {sky}", f"{sky}, {degrees} degrees")), spoken
    return json.dumps(report), spoken


def _place(rng: random.Random) -> str:
    if rng.random() < 0.05:
        country = rng.choice(COUNTRIES)
        return f"{country.capital}, {country.name}"
    return rng.choice(CAPITALS) if rng.random() < 0.6 else made_up(rng)


def _maybe_calculator(rng: random.Random) -> tuple[Tool, ...]:
    return (calculator_tool(rng),) if rng.random() < 0.3 else ()
