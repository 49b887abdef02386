"""Tools that a chat may call, and how much choice the model has."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from baton.core.errors import RequestError
from gateway.tool_use import ToolFunction, ToolMode, ToolUse

CHOICES = ("none", "auto", "required")
WRONG_CHOICE = (
    'must be "none", "auto", "required", or {"type": "function", "function": {"name": ...}}'
)


class FunctionDefinition(BaseModel):
    """Whatever else it holds is shown to the template too."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    parameters: dict[str, Any] | None = Field(
        None, description="JSON schema of the arguments. Default: there are none."
    )
    strict: bool | None = Field(
        None,
        description="true: its arguments follow the schema also where the model chooses to call. "
        "Forced calls do so in any case. Default: false.",
    )

    @field_validator("parameters")
    @classmethod
    def _of_an_object(cls, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        kind = (parameters or {}).get("type", "object")
        if kind != "object":
            raise ValueError(f"arguments are always an object, not of type {kind!r}")
        return parameters

    @property
    def function(self) -> ToolFunction:
        strict = bool(self.strict)
        if self.parameters is None:
            return ToolFunction(self.name, strict=strict)
        return ToolFunction(self.name, {"type": "object", **self.parameters}, strict)


class Tool(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: Literal["function"] = "function"
    function: FunctionDefinition


class FunctionName(BaseModel):
    name: Annotated[str, Field(min_length=1)]


class NamedChoice(BaseModel):
    type: Literal["function"]
    function: FunctionName


class ToolFields(BaseModel):
    tools: list[Tool] | None = Field(None, description="An empty list is none. Default: none.")
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = Field(
        None, description="Default: auto with tools, none without."
    )
    parallel_tool_calls: bool | None = Field(
        None, description="false: at most one call in an answer. Default: true."
    )

    @field_validator("tool_choice", mode="before")
    @classmethod
    def _known_choice(cls, choice: Any) -> Any:
        """One sentence instead of a complaint per kind."""
        if choice is None or choice in CHOICES:
            return choice
        function = choice.get("function") if isinstance(choice, dict) else None
        if not isinstance(function, dict) or choice.get("type") != "function":
            raise ValueError(WRONG_CHOICE)
        if not function.get("name") or not isinstance(function["name"], str):
            raise ValueError(WRONG_CHOICE)
        return choice

    @property
    def tool_use(self) -> ToolUse:
        """Raises RequestError for a choice that the tools do not offer."""
        functions = tuple(tool.function.function for tool in self.tools or ())
        mode = self._mode()
        if mode is ToolMode.OFF:
            return ToolUse()
        if not functions:
            raise RequestError("tool_choice: there are no tools to choose from", "tool_choice")
        if isinstance(self.tool_choice, NamedChoice):
            name = self.tool_choice.function.name
            functions = tuple(f for f in functions if f.name == name)[:1]
            if not functions:
                raise RequestError(f"tool_choice: no tool is named {name!r}", "tool_choice")
        names = tuple(function.name for function in functions)
        return ToolUse(mode, names, self.parallel_tool_calls is not False, functions)

    @property
    def shown_tools(self) -> list[dict[str, Any]] | None:
        """As the template is shown them: as they were written."""
        if not self.tools:
            return None
        return [tool.model_dump(exclude_none=True) for tool in self.tools]

    def _mode(self) -> ToolMode:
        if isinstance(self.tool_choice, NamedChoice):
            return ToolMode.NAMED
        if self.tool_choice is not None:
            empty = self.tools == [] and self.tool_choice == "auto"  # as agents write it
            return ToolMode.OFF if empty else ToolMode(self.tool_choice)
        return ToolMode.AUTO if self.tools else ToolMode.OFF
