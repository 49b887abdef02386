"""What the tours share. They run in the clients' own environment, as
`python tests/clients/NAME_tour.py URL MODEL STEP`, and end with code 0 or a traceback.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

E = TypeVar("E", bound=Exception)

QUESTION = "What is the weather in Paris?"
ANSWER = '{"temperature": 21, "condition": "sunny"}'
WEATHER = "get_weather"
CITIES = {"type": "string", "enum": ["Paris", "Rome", "Tokyo"]}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": CITIES},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION: dict[str, Any] = {
    "name": WEATHER,
    "description": "The weather in a city.",
    "parameters": PARAMETERS,
}
TOOL: dict[str, Any] = {"type": "function", "function": FUNCTION}


@dataclass(frozen=True)
class Served:
    url: str  # without /v1
    model: str

    @property
    def openai(self) -> str:
        return f"{self.url}/v1"

    def check_city(self, arguments: dict[str, Any]) -> None:
        """Of a call of the tool."""
        assert arguments == {"city": "Paris"}, arguments


def refusal(kind: type[E], ask: Callable[[], object]) -> E:
    """The error of this kind that asking raises."""
    try:
        ask()
    except kind as error:
        return error
    raise AssertionError(f"there was no {kind.__name__}")


def run(*steps: Callable[[Served], None]) -> None:
    url, model, name = sys.argv[1:]
    named = {step.__name__: step for step in steps}
    named[name](Served(url, model))
