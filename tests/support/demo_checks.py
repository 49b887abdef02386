"""Whether an answer of the generator is right, found out without the generator's own knowledge."""

import json
import re
from collections.abc import Callable

from demo_model.exchange import Dialogue

CAPITALS = dict(
    pair.split("=")
    for pair in [
        "France=Paris",
        "Germany=Berlin",
        "Italy=Rome",
        "Spain=Madrid",
        "Portugal=Lisbon",
        "Austria=Vienna",
        "Switzerland=Bern",
        "Belgium=Brussels",
        "Netherlands=Amsterdam",
        "Denmark=Copenhagen",
        "Norway=Oslo",
        "Sweden=Stockholm",
        "Finland=Helsinki",
        "Poland=Warsaw",
        "Greece=Athens",
        "Hungary=Budapest",
        "Ireland=Dublin",
        "Iceland=Reykjavik",
        "Ukraine=Kyiv",
        "Croatia=Zagreb",
        "Japan=Tokyo",
        "China=Beijing",
        "India=Delhi",
        "Thailand=Bangkok",
        "Vietnam=Hanoi",
        "Nepal=Kathmandu",
        "Mongolia=Ulaanbaatar",
        "Turkey=Ankara",
        "Iran=Tehran",
        "Iraq=Baghdad",
        "Egypt=Cairo",
        "Kenya=Nairobi",
        "Morocco=Rabat",
        "Ghana=Accra",
        "Ethiopia=Addis Ababa",
        "Senegal=Dakar",
        "Tunisia=Tunis",
        "Canada=Ottawa",
        "Mexico=Mexico City",
        "Cuba=Havana",
        "Brazil=Brasilia",
        "Argentina=Buenos Aires",
        "Chile=Santiago",
        "Peru=Lima",
        "Colombia=Bogota",
        "Uruguay=Montevideo",
        "Australia=Canberra",
        "Fiji=Suva",
    ]
)
_SUM = re.compile(r"(-?\d+) ([-+*/]) (\d+) = (?:\d+ \+ \d+ = )?(-?\d+)\.$")
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)


def asked(made: Dialogue) -> str:
    """What the user said last."""
    return str([m["content"] for m in made.messages if m["role"] == "user"][-1])


def is_right(made: Dialogue) -> bool:
    """True also for skills whose answers are a matter of taste."""
    check = _CHECKS.get(made.skill)
    return check is None or check(made)


def sum_of(text: str) -> tuple[int, str, int] | None:
    """The task in an answer that is a right sum, difference, product or quotient."""
    found = _SUM.match(text)
    if not found:
        return None
    one, op, other, result = int(found[1]), found[2], int(found[3]), int(found[4])
    results = {"+": one + other, "-": one - other, "*": one * other}
    right = one == other * result if op == "/" else results[op] == result
    return (one, op, other) if right else None


def _is_sum(made: Dialogue) -> bool:
    task = sum_of(made.answer)
    return task is not None and {str(task[0]), str(task[2])} <= set(re.findall(r"\d+", asked(made)))


def _is_capital(made: Dialogue) -> bool:
    found = re.match(r"The capital of (.+) is (.+)\.$", made.answer)
    if found:
        return CAPITALS[found[1]] == found[2]
    found = re.match(r"(.+) is the capital of (.+)\.$", made.answer)
    if found:
        return CAPITALS[found[2]] == found[1]
    unknown = re.match(r"I do not know the capital of (.+)\.$", made.answer)
    if unknown:
        return unknown[1] not in CAPITALS and unknown[1] in asked(made)
    return re.match(r"(.+) is in (Europe|Asia|Africa|America|Oceania)\.$", made.answer) is not None


def _given(made: Dialogue) -> str:
    """What comes after the colon of a task."""
    return re.split(r":\s", asked(made), maxsplit=1)[-1]


def _words(text: str) -> list[str]:
    return re.split(r", | ", text)


def _is_repeated(made: Dialogue) -> bool:
    return made.answer == _given(made)


def _is_reversed(made: Dialogue) -> bool:
    return _words(made.answer) == _words(_given(made))[::-1]


def _is_sorted(made: Dialogue) -> bool:
    words = _words(_given(made))
    if all(word.isdigit() for word in words):
        return list(map(int, _words(made.answer))) == sorted(map(int, words))
    return _words(made.answer) == sorted(words)


def _is_counted(made: Dialogue) -> bool:
    found = re.match(r"There are (\d+) words\.$", made.answer)
    if found:
        return int(found[1]) == len(_words(_given(made)))
    found = re.match(r"The (first|last) word is (.+)\.$", made.answer)
    if found:
        return _words(_given(made))[0 if found[1] == "first" else -1] == found[2]
    numbers = [int(number) for number in made.answer.split(", ")]
    step = 1 if numbers[-1] > numbers[0] else -1
    return numbers == list(range(numbers[0], numbers[-1] + step, step))


def _is_in_the_text(made: Dialogue) -> bool:
    return made.answer in asked(made)


def _is_json(made: Dialogue) -> bool:
    value = json.loads(made.answer)
    text = " ".join(str(message["content"]) for message in made.messages)
    named = re.search(r"JSON with the keys? (.+)\.$", asked(made))
    if named:
        return list(value) == re.split(", | and ", named[1])
    schema = re.search(r'\{"type": "object".*\}', text)
    if schema:
        return list(value) == list(json.loads(schema[0])["properties"])
    return isinstance(value, dict) or all(str(one) in text for one in value)


def _calls_what_is_there(made: Dialogue) -> bool:
    functions = {tool["function"]["name"]: tool["function"] for tool in made.tools}
    if made.forced:
        return _fits(json.loads(made.answer), list(functions.values()), made)
    for call in map(json.loads, _CALL.findall(made.answer)):
        if not _fits(call["arguments"], [functions[call["name"]]], made):
            return False
    return bool(functions)


def _fits(arguments: dict[str, object], functions: list[dict[str, object]], made: Dialogue) -> bool:
    """Known parameters, all that are required, values that the user named."""
    text = asked(made).lower()
    if not all(str(value).lower() in text for value in arguments.values()):
        return False
    for function in functions:
        parameters = function["parameters"]
        assert isinstance(parameters, dict)
        if set(parameters.get("required", ())) <= set(arguments) <= set(parameters["properties"]):
            return True
    return False


_CHECKS: dict[str, Callable[[Dialogue], bool]] = {
    "arithmetic": _is_sum,
    "times tables": _is_sum,
    "capitals": _is_capital,
    "repeat": _is_repeated,
    "reverse": _is_reversed,
    "sort": _is_sorted,
    "count": _is_counted,
    "reading": _is_in_the_text,
    "JSON": _is_json,
    "tool calls": _calls_what_is_there,
}
