"""Fields of a request that are about the answer's text, not about which tokens are drawn."""

from typing import Annotated

from pydantic import BaseModel, Field, ValidationInfo, field_validator

MAX_STOP_STRINGS = 64
MAX_STOP_LENGTH = 4096  # characters of one

StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]
Count = Annotated[int, Field(ge=-1)]


class OutputFields(BaseModel):
    """Of both endpoints. None means: not said."""

    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS)] | None = (
        Field(
            None,
            description="Texts that end the answer. Of several that are found in one token the "
            "first of the list counts. Not looked for within the first min_tokens tokens. "
            "Default: none.",
        )
    )
    include_stop_str_in_output: bool | None = Field(
        None, description="Keep the stop string or the stop token in the text. Default: false."
    )
    skip_special_tokens: bool | None = Field(
        None, description="Special tokens have no text. Default: true."
    )
    spaces_between_special_tokens: bool | None = Field(
        None,
        description="For tokenizers that put spaces there, which none of those served here does. "
        "Default: true.",
    )
    prompt_logprobs: Count | None = Field(
        None,
        description="Log-probabilities of the prompt's tokens, with so many of the best "
        "alternatives; -1: the whole vocabulary. Not with stream. Default: none.",
    )
    return_tokens_as_token_ids: bool | None = Field(
        None,
        description="In log-probabilities, call tokens token_id:<id>. Default: as the server is "
        "started, which is false.",
    )
    echo: bool | None = Field(
        None,
        description="Repeat the prompt, or of a chat the last message if its role is the "
        "answer's, before the answer. Default: false.",
    )

    @field_validator("stop", mode="before")
    @classmethod
    def _holds_text(cls, stop: object) -> object:
        """One sentence instead of a complaint per kind of value."""
        strings = [stop] if isinstance(stop, str) else stop
        if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
            raise ValueError("must be a string or a list of strings")
        if not all(strings):
            raise ValueError("a stop string must not be empty")
        if len(strings) > MAX_STOP_STRINGS:
            raise ValueError(f"at most {MAX_STOP_STRINGS} strings, not {len(strings)}")
        if (longest := max(map(len, strings), default=0)) > MAX_STOP_LENGTH:
            raise ValueError(f"at most {MAX_STOP_LENGTH} characters each, not {longest}")
        return stop

    @property
    def stop_strings(self) -> tuple[str, ...]:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(dict.fromkeys(stop))

    @property
    def wanted_logprobs(self) -> int | None:
        """Alternatives per token; -1: all of the vocabulary, None: no log-probabilities."""
        return None

    @property
    def wanted_prompt_logprobs(self) -> int | None:
        """Likewise for the prompt's tokens. A prompt that is shown is shown with its own."""
        if self.prompt_logprobs is None and self.echo:
            return self.wanted_logprobs
        return self.prompt_logprobs

    @property
    def logprobs_field(self) -> str:
        """The name of the field that says how many alternatives."""
        return "logprobs"

    @property
    def shows_reasoning(self) -> bool:
        return True


class ChatOutputFields(OutputFields):
    logprobs: bool | None = Field(None, description="Tell log-probabilities. Default: false.")
    top_logprobs: Count | None = Field(
        None,
        description="With so many of the best alternatives per token; -1: the whole vocabulary. "
        "Only with logprobs. Default: 0.",
    )
    include_reasoning: bool | None = Field(
        None, description="Show what the model thinks before it answers. Default: true."
    )

    @field_validator("top_logprobs")
    @classmethod
    def _asks_for_both(cls, top: int | None, info: ValidationInfo) -> int | None:
        if top and not info.data.get("logprobs"):
            raise ValueError("needs logprobs to be true")
        return top

    @property
    def wanted_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def logprobs_field(self) -> str:
        return "top_logprobs"

    @property
    def shows_reasoning(self) -> bool:
        return self.include_reasoning is not False


class CompletionOutputFields(OutputFields):
    logprobs: Count | None = Field(
        None,
        description="Tell log-probabilities, with so many of the best alternatives per token; -1: "
        "the whole vocabulary. Default: none.",
    )

    @property
    def wanted_logprobs(self) -> int | None:
        return self.logprobs
