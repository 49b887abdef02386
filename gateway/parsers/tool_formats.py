"""The formats of tool calls by name, those of other packages included."""

from collections.abc import Mapping

from gateway.parsers.factory import AUTO, NONE, factory
from gateway.parsers.hermes import HermesFormat
from gateway.parsers.llama3_json import Llama3JsonFormat
from gateway.parsers.mistral import MistralFormat
from gateway.parsers.pythonic import PythonicFormat
from gateway.parsers.tools import ToolFactory, ToolFormat

GROUP = "baton.tool_parsers"
FLAG = "--tool-call-parser"
USUAL = "hermes"  # where a template tells nothing

BUILT_IN: Mapping[str, ToolFactory] = {
    "hermes": HermesFormat,
    "llama3_json": Llama3JsonFormat,
    "pythonic": PythonicFormat,
    "mistral": MistralFormat,
}
# What only templates of this format write.
_SIGNS = {
    "hermes": ("<tool_call>",),
    "mistral": ("[TOOL_CALLS]",),
    "pythonic": ("<|python_start|>",),
    "llama3_json": ("<|python_tag|>", '"parameters": '),
}


def tool_format(name: str, template: str | None) -> ToolFormat | None:
    """`name` as for --tool-call-parser. None: calls stay text. Raises SettingsError for an unknown
    name.
    """
    if name == AUTO:
        name = detected(template or "")
    if name == NONE:
        return None
    return factory(name, BUILT_IN, GROUP, FLAG)()


def detected(template: str) -> str:
    for name, signs in _SIGNS.items():
        if any(sign in template for sign in signs):
            return name
    return USUAL
