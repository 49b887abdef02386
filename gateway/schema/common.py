"""Fields that chat and completions share. pydantic's lax mode: "3" and 3.0 are integers."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.schema.output_fields import OutputFields
from gateway.schema.routing_fields import RoutingFields
from gateway.schema.sampling_fields import FiniteFloat, SamplingFields
from gateway.schema.structured_fields import StructuredFields

INT64_MAX = (1 << 63) - 1
MAX_CHOICES = 128  # of one prompt

_FORBIDDEN_IN_SALT = frozenset("@/\\\0")

NOT_NULLABLE = frozenset({"bad_words"})  # null is left for its type to refuse


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="allow")

    include_usage: bool | None = Field(None, description="Default: false.")
    continuous_usage_stats: bool | None = Field(
        None, description="In every chunk; only with include_usage. Default: false."
    )


class ModelRequest(BaseModel):
    """None means: not said. Unknown fields are kept aside so that the caller can name them."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    # Names that mean something elsewhere in this API and would be missed here: refused.
    elsewhere: ClassVar[frozenset[str]] = frozenset()

    model: str | None = Field(None, description="Default: the first that is served.")

    @model_validator(mode="before")
    @classmethod
    def _null_is_omitted(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {k: v for k, v in data.items() if v is not None or k in NOT_NULLABLE}
        return data

    def check(self) -> None:
        """Raises RequestError for fields that cannot stand together."""

    def unknown_fields(self) -> list[str]:
        """Names the contract does not have, with the path for nested ones."""
        return list(self.model_extra or {})


class GenerationRequest(
    SamplingFields, OutputFields, StructuredFields, RoutingFields, ModelRequest
):
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Cut down to what fits. Default: as many as fit."
    )
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The newer name of max_tokens, which it beats. Default: as many as fit."
    )
    temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] | None = Field(
        None, description="Default: the model's own, else 1. Between 0 and 0.01 it is 0.01."
    )
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = Field(
        None, description="Default: the model's own, else 1."
    )
    top_k: Annotated[int, Field(ge=-1)] | None = Field(
        None, description="0 and -1 turn it off. Default: the model's own, else off."
    )
    seed: Annotated[int, Field(ge=-INT64_MAX - 1, le=INT64_MAX)] | None = Field(
        None, description="Choice i draws with seed + i. Default, and for -1: a random one."
    )
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(None, description="Default: 1.")
    ignore_eos: bool | None = Field(None, description="Default: false.")
    stream: bool | None = Field(None, description="Default: false.")
    stream_options: StreamOptions | None = Field(None, description="Only with stream. Default: {}.")
    cache_salt: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None,
        description="Only requests of equal salt share cached prompts. Without @ / \\ and NUL. "
        "Default: none.",
    )
    return_token_ids: bool | None = Field(None, description="Default: false.")

    @field_validator("cache_salt")
    @classmethod
    def _can_be_part_of_a_key(cls, salt: str | None) -> str | None:
        if salt is not None and not _FORBIDDEN_IN_SALT.isdisjoint(salt):
            raise ValueError("must not contain @, /, \\ or NUL")
        return salt

    @property
    def wanted_tokens(self) -> int | None:
        """What the client asked for; the newer name wins."""
        if self.max_completion_tokens is not None:
            return self.max_completion_tokens
        return self.max_tokens

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def continuous_usage(self) -> bool:
        options = self.stream_options
        return bool(options and options.include_usage and options.continuous_usage_stats)

    def unknown_fields(self) -> list[str]:
        names = super().unknown_fields()
        if self.stream_options is not None:
            names += [f"stream_options.{name}" for name in self.stream_options.model_extra or {}]
        return names
