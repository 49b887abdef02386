"""Text -> token ids, once per request, and what is known of the model's vocabulary.

Loads through PreTrainedTokenizerFast: AutoTokenizer would load torch.
"""

import asyncio
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from baton.core.errors import RequestError, SettingsError
from gateway.content_format import ContentFormat, content_format
from gateway.limits import Limits, check_length
from gateway.schema.message import Message
from gateway.vocabulary import Vocabulary, read_vocabulary

LONG_TEXT = 2_000  # characters; from here on a thread keeps the event loop free
SHRINKS_TO = 4  # a normaliser leaves at least this fraction, 1 / 4, of a text's bytes


class ChatTokenizer:
    """Thread-safe: the backend is never changed after loading."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        digest: str,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self.vocabulary: Vocabulary = read_vocabulary(self._backend)
        self.digest = digest  # SHA-256 of tokenizer.json, hex, as workers compute it
        template = tokenizer.chat_template
        if isinstance(template, dict):  # several by name, of which chats without tools use one
            template = template.get("default")
        self._format = content_format(template) if isinstance(template, str) else None
        self._template_kwargs = dict(template_kwargs or {})
        self._longest_piece = max(map(len, self.vocabulary.pieces), default=0) or 1

    async def prompt_of(self, messages: Sequence[Message], limits: Limits) -> list[int]:
        """Renders the template once and tokenises once. Raises RequestError for messages that are
        certainly too long; the others still have to be counted.
        """
        check_length(len(messages), limits, "messages", exact=False)  # each has a token at least
        if sum(message.length for message in messages) < LONG_TEXT:
            return self._render_and_encode(messages, limits)
        return await asyncio.to_thread(self._render_and_encode, messages, limits)

    async def tokens_of(self, texts: Sequence[str], limits: Limits) -> list[list[int]]:
        """Plain prompts, with the special tokens that the tokenizer adds by itself."""
        if sum(map(len, texts)) < LONG_TEXT:
            return self._encode_all(texts, limits)
        return await asyncio.to_thread(self._encode_all, texts, limits)

    def word(self, text: str) -> list[int]:
        """A short text as tokens, without special ones."""
        return self._encode(text, False)

    def _render_and_encode(self, messages: Sequence[Message], limits: Limits) -> list[int]:
        text = self._render(messages)
        check_length(self._fewest_tokens(text), limits, "messages", exact=False)
        return self._encode(text, False)

    def _encode_all(self, texts: Sequence[str], limits: Limits) -> list[list[int]]:
        for text in texts:
            check_length(self._fewest_tokens(text), limits, "prompt", exact=False)
        return [self._encode(text, True) for text in texts]

    def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """By the call for batches: unlike the one for a text it lets other threads run."""
        encode = self._backend.encode_batch_fast
        ids: list[int] = encode([text], add_special_tokens=add_special_tokens)[0].ids
        return ids

    def _fewest_tokens(self, text: str) -> int:
        """Tokenising takes time and much memory, so a hopeless text is told by its size."""
        return len(text) // (self._longest_piece * SHRINKS_TO)

    def _render(self, messages: Sequence[Message]) -> str:
        if self._format is None:
            raise RequestError("this model has no chat template", "messages")
        entries = [template_entry(message, self._format) for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(
                entries,  # type: ignore[arg-type]  # parts are lists, which the hint leaves out
                tokenize=False,
                add_generation_prompt=True,
                **self._template_kwargs,
            )
        except (TemplateError, TypeError, ValueError) as error:
            message = f"the chat template refuses these messages: {error}"
            raise RequestError(message, "messages") from error
        return str(text)


def template_entry(message: Message, format: ContentFormat) -> dict[str, object]:
    """A message as the template reads it."""
    texts = [message.content] if isinstance(message.content, str) else message.content
    content: object = "\n".join(texts)
    if format is ContentFormat.PARTS:
        content = [{"type": "text", "text": text} for text in texts]
    entry: dict[str, object] = {"role": message.role, "content": content}
    if message.name is not None:
        entry["name"] = message.name
    reasoning = message.reasoning or message.reasoning_content
    if reasoning:  # templates read one name or the other
        entry |= {"reasoning": reasoning, "reasoning_content": reasoning}
    return entry


def load_tokenizer(
    folder: Path, chat_template: str = "", template_kwargs: Mapping[str, Any] | None = None
) -> ChatTokenizer:
    """The other two as for --chat-template and --default-chat-template-kwargs."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise SettingsError(f"there is no tokenizer: {path} does not exist")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    if chat_template:
        tokenizer.chat_template = read_template(chat_template)
    taken = inspect.signature(tokenizer.apply_chat_template).parameters
    for name in template_kwargs or {}:
        if name in taken:
            raise SettingsError(f"--default-chat-template-kwargs cannot set {name}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ChatTokenizer(tokenizer, digest, template_kwargs)


def read_template(text: str) -> str:
    """Of the file so called, or `text` itself where it is clearly a template."""
    try:
        return Path(text).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if "{" in text:
            return text
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"cannot read --chat-template {text}: {reason}") from error


def vocab_size_of(model: Path, vocabulary: Vocabulary) -> int:
    """The model's, which may be padded beyond the tokenizer's; ids below it are valid prompts."""
    path = model / "config.json"
    if not path.is_file():
        return len(vocabulary)
    try:
        size = json.loads(path.read_text("utf-8")).get("vocab_size")
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    return size if isinstance(size, int) else len(vocabulary)
