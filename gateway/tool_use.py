"""Which tools an answer may call, and whether it must."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class ToolMode(Enum):
    OFF = "none"  # no call is looked for
    AUTO = "auto"  # the model may call
    REQUIRED = "required"  # it must call at least one
    NAMED = "named"  # it must call the one that is named

    @property
    def forced(self) -> bool:
        return self in (ToolMode.REQUIRED, ToolMode.NAMED)


@dataclass(frozen=True, slots=True)
class ToolFunction:
    name: str
    parameters: dict[str, Any] | None = None  # JSON schema of the arguments, an object
    strict: bool = False  # it is followed even where the model may choose to call


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What parsers and grammars must know. What may be called: nothing when it is OFF, the one that
    is NAMED, else all.
    """

    mode: ToolMode = ToolMode.OFF
    names: tuple[str, ...] = ()
    parallel: bool = True  # False: the answer ends after the first call
    functions: tuple[ToolFunction, ...] = ()  # those of `names`, in their order


NO_TOOLS = ToolUse()
