"""The bodies of POST /v1/messages and /v1/messages/count_tokens."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from gateway.schema.json_object import JsonObject
from gateway.schema.message_blocks import TEXT_KEYS, AnthropicMessage
from gateway.schema.sampling_fields import FiniteFloat
from gateway.schema.text_parts import NullIsOmitted, Texts, WrittenTexts, texts_of

# Of Anthropic's API, without a counterpart here: refused with their name.
REFUSED_IN_MESSAGES = frozenset(
    [
        "container",
        "context_management",
        "diagnostics",
        "inference_geo",
        "mcp_servers",
        "output_format",
        "speed",
        "user_profile_id",
        "workspace_id",
    ]
)


class _Strict(NullIsOmitted):
    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)


class ClientTool(NullIsOmitted):
    """Tools that the server would run itself are refused."""

    model_config = ConfigDict(extra="allow")

    type: Literal["custom"] = "custom"
    name: str
    description: str | None = None
    input_schema: JsonObject = Field(description="A JSON schema.")
    strict: bool | None = None
    cache_control: dict[str, Any] | None = Field(None, description="Of no effect.")


class ToolChoice(_Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(None, description="Of the tool, for the type tool.")
    disable_parallel_tool_use: bool | None = Field(None, description="Default: false.")

    @model_validator(mode="after")
    def _names_a_tool(self) -> "ToolChoice":
        if (self.type == "tool") != (self.name is not None):
            raise ValueError("name belongs to the type tool, which needs one")
        return self


class Thinking(_Strict):
    """`adaptive` is the same as `enabled`: whether to think is the model's choice anyway."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="A target, below max_tokens; only max_tokens is a bound."
    )


class UserMetadata(_Strict):
    user_id: str | None = Field(None, description="As user in a chat.")


class JsonOutput(_Strict):
    type: Literal["json_schema"]
    schema_: JsonObject = Field(alias="schema")


class OutputConfig(_Strict):
    effort: str | None = Field(None, description="As reasoning_effort in a chat.")
    format: JsonOutput | None = None


class CountTokensRequest(NullIsOmitted):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = Field(None, description="Default: the first that is served.")
    messages: Annotated[list[AnthropicMessage], Field(min_length=1, fail_fast=True)] = Field(
        description="A last one of the assistant is gone on with."
    )
    system: Texts | None = None
    tools: list[ClientTool] | None = None
    tool_choice: ToolChoice | None = Field(None, description="Default: auto if there are tools.")
    thinking: Thinking | None = Field(None, description="Default: disabled.")
    output_config: OutputConfig | None = None
    cache_control: dict[str, Any] | None = Field(
        None, description="Of no effect: every prompt is cached by its beginning."
    )

    @field_validator("system", mode="before", json_schema_input_type=WrittenTexts | None)
    @classmethod
    def _texts(cls, system: Any) -> Any:
        return texts_of(system, TEXT_KEYS)

    @property
    def foreign(self) -> dict[str, Any]:
        """Fields that Anthropic's API does not have."""
        return self.model_extra or {}


class MessagesRequest(CountTokensRequest):
    """vLLM's own sampling fields of a chat, such as `min_p` and `seed`, act here too."""

    max_tokens: Annotated[int, Field(ge=1)] = Field(description="Cut down to what fits.")
    temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] | None = Field(
        None, description="Default: the model's own, else 1."
    )
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = Field(
        None, description="Default: the model's own, else 1."
    )
    top_k: Annotated[int, Field(ge=-1)] | None = Field(
        None, description="0 and -1 turn it off. Default: the model's own, else off."
    )
    stop_sequences: list[str] | None = None
    stream: bool | None = Field(None, description="Default: false.")
    metadata: UserMetadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None

    @model_validator(mode="after")
    def _thinks_within_its_answer(self) -> "MessagesRequest":
        budget = self.thinking.budget_tokens if self.thinking else None
        if budget is not None and budget >= self.max_tokens:
            raise ValueError("thinking.budget_tokens must be below max_tokens")
        return self
