"""Fields about how messages become a prompt."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from baton.core.errors import RequestError

SET_ELSEWHERE = ("chat_template", "tokenize")
NOT_HERE = frozenset(  # what the renderer's function takes, but no template is told
    {*SET_ELSEWHERE, *("conversation", "messages", "padding", "truncation", "max_length")}
    | {"return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"}
    | {"sanitize_control_tokens"}
)
LONGEST_TEMPLATE = 1 << 16  # characters
SWITCHES = ("add_generation_prompt", "continue_final_message")
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class PromptFields(BaseModel):
    """Of chats and plain prompts alike."""

    add_special_tokens: bool | None = Field(
        None,
        description="Whether the tokenizer adds its special tokens. Default: true for plain "
        "prompts, false for chats, whose template writes them.",
    )
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = Field(
        None,
        description="Only so many tokens at the prompt's end are kept; -1: as many as leave room "
        "for max_tokens. 1 to the model's maximum length. Default: all, or 400.",
    )

    @field_validator("truncate_prompt_tokens")
    @classmethod
    def _not_zero(cls, kept: int | None) -> int | None:
        if kept == 0:
            raise ValueError("must be -1 or at least 1")
        return kept


class TemplateFields(PromptFields):
    add_generation_prompt: bool | None = Field(
        None,
        description="Whether the prompt ends with the beginning of an answer. false: the answer "
        "has the role of the last message. Default: true, unless the last one is continued.",
    )
    continue_final_message: bool | None = Field(
        None, description="The answer goes on where the last message ends. Default: false."
    )
    documents: list[dict[str, str]] | None = Field(
        None, description="Shown to the template, as `documents`. Default: none."
    )
    chat_template: Annotated[str, Field(min_length=1, max_length=LONGEST_TEMPLATE)] | None = Field(
        None,
        description="Used instead of the model's. Needs --trust-request-chat-template. "
        "Default: the model's.",
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="What the template is told besides. Default: {}."
    )
    reasoning_effort: Effort | None = Field(
        None,
        description="Told to the template, and as enable_thinking whether it is not none. "
        "Default: whatever the template does.",
    )
    mm_processor_kwargs: dict[str, Any] | None = Field(
        None,
        description="To which sizes images are scaled: size, min_pixels, max_pixels. Needs "
        "--trust-request-mm-kwargs. Default: {}.",
    )

    @field_validator("chat_template_kwargs")
    @classmethod
    def _for_templates(cls, kwargs: dict[str, Any] | None) -> dict[str, Any] | None:
        for name in kwargs or {}:
            if name in NOT_HERE:
                raise ValueError(f"{name!r} cannot be set here")
        for name in SWITCHES:
            if not isinstance((kwargs or {}).get(name, False), bool):
                raise ValueError(f"{name!r} must be true or false")
        return kwargs

    @property
    def continues(self) -> bool:
        return self._switch("continue_final_message", False)

    @property
    def begins_answer(self) -> bool:
        """Raises RequestError when the last message is to be continued as well."""
        begins = self._switch("add_generation_prompt", not self.continues)
        if begins and self.continues:
            raise RequestError(
                "continue_final_message and add_generation_prompt cannot both be true",
                "continue_final_message",
            )
        return begins

    def _switch(self, name: str, default: bool) -> bool:
        """chat_template_kwargs win, as in vLLM."""
        said = (self.chat_template_kwargs or {}).get(name)
        said = getattr(self, name) if said is None else said
        return default if said is None else bool(said)
