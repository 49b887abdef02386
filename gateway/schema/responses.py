"""The body of POST /v1/responses."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from gateway.schema.json_object import JsonObject
from gateway.schema.response_items import Item
from gateway.schema.sampling_fields import FiniteFloat
from gateway.schema.tag import tag_by
from gateway.schema.text_parts import NullIsOmitted

# Of OpenAI's API, without a counterpart here: refused with their name.
REFUSED_IN_RESPONSES = frozenset(
    [
        "access_programs",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "moderation",
        "prompt",
        "prompt_cache_options",
        "prompt_cache_retention",
    ]
)
LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"


class _Strict(NullIsOmitted):
    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)


class FunctionTool(_Strict):
    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: JsonObject | None = Field(None, description="A JSON schema.")
    strict: bool | None = None


class NamedFunction(_Strict):
    type: Literal["function"]
    name: str


class PlainText(_Strict):
    type: Literal["text"]


class AnyJson(_Strict):
    type: Literal["json_object"]


class JsonSchema(_Strict):
    type: Literal["json_schema"]
    name: str
    description: str | None = None
    schema_: JsonObject = Field(alias="schema")
    strict: bool | None = None


TextFormat = Annotated[
    Annotated[PlainText, Tag("text")]
    | Annotated[AnyJson, Tag("json_object")]
    | Annotated[JsonSchema, Tag("json_schema")],
    Discriminator(
        tag_by("type"),
        custom_error_type="format",
        custom_error_message="the type must be text, json_object or json_schema",
    ),
]


class TextOptions(_Strict):
    format: TextFormat | None = Field(None, description="Default: text.")
    verbosity: Literal["medium"] | None = None


class ReasoningOptions(_Strict):
    effort: str | None = Field(None, description="As reasoning_effort in a chat.")
    summary: Literal["auto"] | None = Field(
        None, description="The reasoning itself is in the answer; there is no summary of it."
    )
    generate_summary: Literal["auto"] | None = Field(None, description="Older name of summary.")


class ResponseStreamOptions(_Strict):
    include_obfuscation: Literal[False] | None = None


def _items(input: Any) -> Any:
    """A text is one message of the user; told apart here, so that a wrong item is told as one."""
    return [{"role": "user", "content": input}] if isinstance(input, str) else input


class ResponsesRequest(NullIsOmitted):
    """vLLM's own sampling fields of a chat, such as `top_k` and `seed`, act here too."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = Field(None, description="Default: the first that is served.")
    input: Annotated[
        list[Item],
        Field(min_length=1, fail_fast=True),
        BeforeValidator(_items, json_schema_input_type=str | list[Item]),
    ]
    instructions: str | None = Field(
        None, description="A system message before everything else, for this response alone."
    )
    previous_response_id: str | None = Field(
        None, description="Goes on from a stored response: its input and output come first."
    )
    store: bool | None = Field(
        None, description="Keep the response in this gateway's memory for a while. Default: true."
    )
    metadata: (
        Annotated[
            dict[
                Annotated[str, Field(max_length=64)],
                Annotated[str, Field(max_length=512)],
            ],
            Field(max_length=16),
        ]
        | None
    ) = Field(None, description="Comes back with the response.")
    max_output_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Reasoning included. Cut down to what fits. Default: as many as fit."
    )
    temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] | None = Field(
        None, description="Default: the model's own, else 1."
    )
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = Field(
        None, description="Default: the model's own, else 1."
    )
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(
        None, description="Alternatives per token; above 0 it turns log-probabilities on."
    )
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = (
        Field(None, description="What else to tell. encrypted_content is opaque, but no secret.")
    )
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = Field(
        None, description="Default: auto if there are tools."
    )
    parallel_tool_calls: bool | None = Field(None, description="Default: true.")
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    stream: bool | None = Field(None, description="Default: false.")
    stream_options: ResponseStreamOptions | None = Field(None, description="Only with stream.")
    background: Literal[False] | None = Field(None, description="Not supported.")
    truncation: Literal["disabled"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Of built-in tools, which there are none of."
    )
    user: str | None = Field(None, description="As in a chat.")
    safety_identifier: str | None = Field(None, description="Newer name of user, which it beats.")
    prompt_cache_key: str | None = Field(
        None, description="Comes back. Equal beginnings are found in the cache without it."
    )

    @property
    def foreign(self) -> dict[str, Any]:
        """Fields that OpenAI's API does not have."""
        return self.model_extra or {}

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ()) or bool(self.top_logprobs)

    @property
    def wants_encrypted(self) -> bool:
        return ENCRYPTED in (self.include or ())
