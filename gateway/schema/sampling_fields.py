"""Fields that say which tokens are likelier, and which cannot be drawn at all."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
TokenId = Annotated[int, Field(ge=0)]
Penalty = Annotated[FiniteFloat, Field(ge=-2, le=2)]
Xarg = str | int | FiniteFloat

MAX_BAD_WORDS = 1024
MAX_BAD_WORD = 200  # characters


class ProcessorFields(BaseModel):
    """A logits processor that is made of `qualname(*args, **kwargs)`."""

    model_config = ConfigDict(extra="forbid")

    qualname: Annotated[str, Field(min_length=1)]
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None


class SamplingFields(BaseModel):
    """None means: not said. `bad_words` alone must not be null, as in vLLM."""

    min_p: Annotated[FiniteFloat, Field(ge=0, le=1)] | None = Field(
        None,
        description="Drops tokens less likely than this share of the best one's likelihood, before "
        "top_k and top_p. Default: the model's own, else 0.",
    )
    min_tokens: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The answer cannot end before; at most max_tokens. Default: 0."
    )
    stop_token_ids: list[TokenId] | None = Field(
        None, description="Tokens that end the answer, besides the model's own. Default: none."
    )
    frequency_penalty: Penalty | None = Field(
        None, description="Taken from a token's logit each time it is in the answer. Default: 0."
    )
    presence_penalty: Penalty | None = Field(
        None, description="Taken from a token's logit once it is in the answer. Default: 0."
    )
    repetition_penalty: Annotated[FiniteFloat, Field(gt=0)] | None = Field(
        None,
        description="Divides (or multiplies, where negative) the logits of tokens in prompt or "
        "answer. Default: the model's own, else 1.",
    )
    logit_bias: dict[int, FiniteFloat] | None = Field(
        None,
        description="What is added to the logits of these token ids, at least -100 and at most "
        "100. Default: nothing.",
    )
    allowed_token_ids: Annotated[list[TokenId], Field(min_length=1)] | None = Field(
        None, description="No other token can be drawn. Default: all can."
    )
    bad_words: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_BAD_WORD)]],
        Field(max_length=MAX_BAD_WORDS),
    ] = Field(
        default=[],
        description="Texts whose token sequence, with or without a leading space, is never "
        "completed. Other tokens that spell the same text are not caught. Default: none.",
    )
    logits_processors: list[str | ProcessorFields] | None = Field(
        None,
        description="Qualified names of Python functions that change the logits; refused unless "
        "--logits-processor-pattern allows them. Default: none.",
    )
    vllm_xargs: dict[str, Xarg | list[Xarg]] | None = Field(
        None,
        description="For the logits processors that the server has loaded, if any. Default: none.",
    )

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _keys_are_token_ids(cls, bias: Any) -> Any:
        """One sentence instead of pydantic's, which names keys as if they were fields."""
        for key in bias if isinstance(bias, dict) else ():
            if isinstance(key, str) and not key.strip().lstrip("+-").isdigit():
                raise ValueError(f"{key!r} is not a token id")
        return bias

    @field_validator("logits_processors", mode="before")
    @classmethod
    def _names_or_objects(cls, processors: Any) -> Any:
        for one in processors if isinstance(processors, list) else ():
            if not isinstance(one, str | dict):
                raise ValueError("must hold names or objects with a qualname")
        return processors

    @field_validator("vllm_xargs", mode="before")
    @classmethod
    def _flat(cls, xargs: Any) -> Any:
        """One sentence instead of pydantic's, one for each kind that a value could have been."""
        for name, value in xargs.items() if isinstance(xargs, dict) else ():
            kinds = {type(one) for one in (value if isinstance(value, list) else [value])}
            if not kinds <= {str, int, float, bool}:
                raise ValueError(f"{name} must be a text, a number or a list of these")
        return xargs
