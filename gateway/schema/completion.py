"""The body of POST /v1/completions."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from gateway.schema.beam_fields import BeamFields
from gateway.schema.common import GenerationRequest
from gateway.schema.fields import OF_CHATS, OF_OTHER_COMPLETIONS
from gateway.schema.output_fields import CompletionOutputFields
from gateway.schema.template_fields import PromptFields

MAX_PROMPTS = 4096
DEFAULT_MAX_TOKENS = 16

NotEmpty = Field(min_length=1)
Texts = Annotated[list[str], NotEmpty]
TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], NotEmpty]
Prompt = str | Texts | TokenIds | Annotated[list[TokenIds], NotEmpty]

WRONG_PROMPT = "must be a text, texts, token ids or lists of token ids; not empty"


class CompletionRequest(PromptFields, CompletionOutputFields, BeamFields, GenerationRequest):
    """`prompt`: one text, several, one list of token ids, or several such lists."""

    elsewhere: ClassVar[frozenset[str]] = OF_CHATS | OF_OTHER_COMPLETIONS

    prompt: Prompt
    max_tokens: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description=f"Cut down to what fits; 0 only with echo. Default: {DEFAULT_MAX_TOKENS}.",
    )

    best_of: Annotated[int, Field(ge=1, le=1)] | None = Field(
        None, description="Only 1: every choice that is made is answered. Default: 1."
    )

    @field_validator("prompt", mode="plain", json_schema_input_type=Prompt)
    @classmethod
    def _one_kind(cls, prompt: Any) -> Any:
        """One clear sentence instead of one complaint per kind of list and per item; and quick,
        for a list may hold millions.
        """
        if isinstance(prompt, str):
            return prompt
        if not isinstance(prompt, list) or not prompt:
            raise ValueError(WRONG_PROMPT)
        kinds = set(map(type, prompt))
        if len(kinds) > 1 or not kinds <= {str, int, list}:
            raise ValueError("must hold only texts, only token ids, or only lists of token ids")
        if int in kinds:
            check_ids(prompt)
        elif len(prompt) > MAX_PROMPTS:
            raise ValueError(f"at most {MAX_PROMPTS} prompts fit in one request")
        elif list in kinds:
            for ids in prompt:
                check_ids(ids)
        return prompt

    @property
    def wanted_prompt_logprobs(self) -> int | None:
        """A stream has a place for them only behind the prompt that it repeats."""
        return None if self.stream and not self.echo else super().wanted_prompt_logprobs

    @property
    def texts(self) -> list[str]:
        """Each prompt by itself, if they are texts."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if not isinstance(self.prompt[0], str):
            return []
        return [prompt for prompt in self.prompt if isinstance(prompt, str)]

    @property
    def token_ids(self) -> list[list[int]]:
        """Each prompt by itself, if they are token ids."""
        if isinstance(self.prompt, str):
            return []
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return [ids for ids in self.prompt if isinstance(ids, list)]


def check_ids(ids: list[Any]) -> None:
    """Raises ValueError. Quick, for a list may hold millions."""
    if not set(map(type, ids)) <= {int}:
        raise ValueError("a token id must be an integer")
    if min(ids, default=0) < 0:
        raise ValueError("a token id cannot be negative")
