"""Fields that say what the answer must look like. Unknown names inside are refused: ignoring a
misspelled constraint would leave the answer free.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

PRIVATE = ("_backend", "_backend_was_auto")  # of vLLM's own class; clients send it whole
OLD = "Older name of a part of structured_outputs. Default: none."

# For the docs alone: pydantic's own mark warns whenever the field is read.
DEPRECATED: dict[str, JsonValue] = {"deprecated": True}

JsonObject = dict[str, Any]


class StructuredOutputs(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    json_schema: JsonObject | str | None = Field(
        None, alias="json", description="A JSON schema that the answer follows."
    )
    regex: str | None = Field(None, description="A regular expression, Rust's syntax.")
    choice: list[str] | None = Field(None, description="The answer is one of these.")
    grammar: str | None = Field(None, description="EBNF (`root ::= ...`) or Lark.")
    json_object: bool | None = Field(None, description="Any JSON object.")
    structural_tag: JsonObject | str | None = Field(None, description="As in response_format.")
    disable_fallback: bool | None = Field(
        None, description="There is one backend: nothing falls back, whatever is said."
    )
    disable_any_whitespace: bool | None = Field(
        None, description="JSON without spaces and line breaks. Default: false."
    )
    disable_additional_properties: bool | None = Field(
        None, description="Objects have the properties that they list, no others. Default: false."
    )
    whitespace_pattern: str | None = Field(
        None, description="What may stand between the tokens of JSON. Default: at most 64 blanks."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_private(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if key not in PRIVATE}
        return data


class JsonSchemaFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: Annotated[str, Field(min_length=1)]
    schema_: JsonObject = Field(alias="schema")
    description: str | None = None
    strict: bool | None = Field(None, description="It is always followed, whatever is said.")


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchemaFormat | None = None
    format: JsonObject | None = Field(None, description="Of structural_tag.")
    structures: list[JsonObject] | None = Field(None, description="Of structural_tag's older form.")
    triggers: list[str] | None = Field(None, description="Likewise.")

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> "ResponseFormat":
        named = {"json_schema", "format", "structures", "triggers"} & self.model_fields_set
        given = {name for name in named if getattr(self, name) is not None}
        if self.type == "json_schema":
            needed = {"json_schema"}
        elif self.type == "structural_tag":
            needed = {"format"} if "format" in given else {"structures", "triggers"}
        else:
            needed = set()
        if needed - given:
            raise ValueError(f"type {self.type} needs {min(needed - given)}")
        if given - needed:
            raise ValueError(f"type {self.type} has no {min(given - needed)}")
        return self

    def as_structural_tag(self) -> JsonObject:
        if self.format is not None:
            return {"type": "structural_tag", "format": self.format}
        return {"structures": self.structures, "triggers": self.triggers}


class StructuredFields(BaseModel):
    response_format: ResponseFormat | None = Field(
        None, description="text, json_object, json_schema or structural_tag. Default: text."
    )
    structured_outputs: StructuredOutputs | None = Field(
        None, description="One constraint of the answer, and options. Default: none."
    )
    guided_json: JsonObject | str | None = Field(
        None, description=OLD, json_schema_extra=DEPRECATED
    )
    guided_regex: str | None = Field(None, description=OLD, json_schema_extra=DEPRECATED)
    guided_choice: list[str] | None = Field(None, description=OLD, json_schema_extra=DEPRECATED)
    guided_grammar: str | None = Field(None, description=OLD, json_schema_extra=DEPRECATED)
    guided_whitespace_pattern: str | None = Field(
        None, description=OLD, json_schema_extra=DEPRECATED
    )
    guided_decoding_backend: str | None = Field(
        None,
        description="auto, or the server's own: guidance or xgrammar. Default: auto.",
        json_schema_extra=DEPRECATED,
    )
    structural_tag: JsonObject | str | None = Field(
        None, description=OLD, json_schema_extra=DEPRECATED
    )

    @field_validator("guided_decoding_backend")
    @classmethod
    def _is_ours(cls, name: str | None) -> str | None:
        if name not in (None, "auto", "guidance", "xgrammar"):
            raise ValueError("only auto, guidance and xgrammar are built in")
        return name
