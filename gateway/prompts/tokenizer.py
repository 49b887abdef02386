"""Text -> token ids, once per request, and what is known of the model's vocabulary.

Loads through PreTrainedTokenizerFast: AutoTokenizer would load torch.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from baton.core.errors import RequestError, SettingsError
from gateway.limits import Limits, check_length
from gateway.prompts.chat_template import ChatTemplates, read_template
from gateway.prompts.content_format import ContentFormat
from gateway.prompts.foreign_template import ForeignTemplates
from gateway.prompts.rendering import Rendering, template_entry
from gateway.prompts.truncation import kept_ids, kept_text
from gateway.prompts.vocabulary import Vocabulary, read_vocabulary
from gateway.schema.message import Message

LONG_TEXT = 2_000  # characters; from here on a thread keeps the event loop free
SHRINKS_TO = 4  # a normaliser leaves at least this fraction, 1 / 4, of a text's bytes
LONGEST_REASON = 500  # characters of what a template says against a chat

# What a template can raise by what it was told.
_REFUSALS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)


class ChatTokenizer:
    """Thread-safe: the backend is never changed after loading."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        digest: str,
        format: ContentFormat | None = None,
    ) -> None:
        """`format` None: as each template suggests."""
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._foreign = ForeignTemplates()
        self.vocabulary: Vocabulary = read_vocabulary(self._backend)
        self.templates = ChatTemplates(tokenizer.chat_template, format)
        added = self._backend.get_added_tokens_decoder()
        self.added_tokens = {token.content: token_id for token_id, token in added.items()}
        self.digest = digest  # SHA-256 of tokenizer.json, hex, as workers compute it
        self.eos_token_id: int | None = tokenizer.eos_token_id
        self._longest_piece = max(map(len, self.vocabulary.pieces), default=0) or 1

    async def prompt_of(
        self,
        messages: Sequence[Message],
        limits: Limits,
        rendering: Rendering,
        kept: int | None = None,
        image_text: str = "",
    ) -> list[int]:
        """Renders the template once and tokenises once. Raises RequestError for messages that are
        certainly too long; the others still have to be counted. `kept`: only so many tokens of the
        end are wanted, however long it is. `image_text` marks an image where the template takes texts.
        """
        if kept is None:  # each message has a token at least
            check_length(len(messages), limits, "messages", exact=False)
        format = rendering.template.format
        entries = [template_entry(message, format, image_text) for message in messages]
        if rendering.foreign:
            text = await self._foreign.render(self._foreign_call(entries, rendering))
            return await asyncio.to_thread(self._encode_chat, text, limits, rendering, kept)
        if sum(message.length for message in messages) < LONG_TEXT:
            return self._render_and_encode(entries, limits, rendering, kept)
        return await asyncio.to_thread(self._render_and_encode, entries, limits, rendering, kept)

    async def tokens_of(
        self,
        texts: Sequence[str],
        limits: Limits,
        add_special_tokens: bool = True,
        kept: int | None = None,
    ) -> list[list[int]]:
        """Plain prompts, with the special tokens that the tokenizer adds by itself."""
        if sum(map(len, texts)) < LONG_TEXT:
            return self._encode_all(texts, limits, add_special_tokens, kept)
        return await asyncio.to_thread(self._encode_all, texts, limits, add_special_tokens, kept)

    def text_of(self, ids: Sequence[int]) -> str:
        """Special tokens included."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))

    def ids_of(self, text: str) -> list[int]:
        """Of a piece of an answer: without special tokens that are not in it."""
        return self._encode(text, False)

    def pieces_of(self, ids: Sequence[int]) -> list[str]:
        """As the tokenizer's file spells them; empty for an id that it does not have."""
        return [self._backend.id_to_token(token) or "" for token in ids]

    def info(self) -> dict[str, object]:
        """The tokenizer's own configuration, as far as JSON can hold it."""
        told = {
            "tokenizer_class": type(self._tokenizer).__name__,
            **self._tokenizer.init_kwargs,
            "chat_template": self._tokenizer.chat_template,
        }
        plain: dict[str, object] = json.loads(json.dumps(told, default=str))
        return plain

    def _render_and_encode(
        self,
        entries: list[dict[str, object]],
        limits: Limits,
        rendering: Rendering,
        kept: int | None,
    ) -> list[int]:
        return self._encode_chat(self._render(entries, rendering), limits, rendering, kept)

    def _encode_chat(
        self, text: str, limits: Limits, rendering: Rendering, kept: int | None
    ) -> list[int]:
        return self._encode_one(text, limits, "messages", rendering.add_special_tokens, kept)

    def _encode_all(
        self, texts: Sequence[str], limits: Limits, add_special_tokens: bool, kept: int | None
    ) -> list[list[int]]:
        if kept is None:
            for text in texts:
                check_length(self._fewest_tokens(text), limits, "prompt", exact=False)
        return [
            self._encode_one(text, limits, "prompt", add_special_tokens, kept) for text in texts
        ]

    def _encode_one(
        self, text: str, limits: Limits, param: str, add_special_tokens: bool, kept: int | None
    ) -> list[int]:
        if kept is None:
            check_length(self._fewest_tokens(text), limits, param, exact=False)
        text = kept_text(text, kept, self._longest_piece * SHRINKS_TO)
        return kept_ids(self._encode(text, add_special_tokens), kept)

    def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """By the call for batches: unlike the one for a text it lets other threads run."""
        encode = self._backend.encode_batch_fast
        ids: list[int] = encode([text], add_special_tokens=add_special_tokens)[0].ids
        return ids

    def _fewest_tokens(self, text: str) -> int:
        """Tokenising takes time and much memory, so a hopeless text is told by its size."""
        return len(text) // (self._longest_piece * SHRINKS_TO)

    def _render(self, entries: list[dict[str, object]], rendering: Rendering) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                entries,  # type: ignore[arg-type]  # parts are lists, which the hint leaves out
                tokenize=False,
                chat_template=rendering.template.text,
                add_generation_prompt=rendering.begins_answer,
                continue_final_message=rendering.continues,
                **rendering.variables,
            )
        except _REFUSALS as error:
            told = str(error)
            param = "continue_final_message"
            raise RequestError(
                f"the chat template refuses these messages: {told[:LONGEST_REASON]}",
                param if param in told else "messages",
            ) from error
        return str(text)

    def _foreign_call(
        self, entries: list[dict[str, object]], rendering: Rendering
    ) -> dict[str, object]:
        return {
            **self._tokenizer.special_tokens_map,
            **rendering.variables,
            "conversations": [entries],
            "chat_template": rendering.template.text,
            "add_generation_prompt": rendering.begins_answer,
            "continue_final_message": rendering.continues,
        }


def load_tokenizer(
    folder: Path, chat_template: str = "", format: ContentFormat | None = None
) -> ChatTokenizer:
    """`chat_template` as for the flag; empty: the folder's own."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise SettingsError(f"there is no tokenizer: {path} does not exist")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    if chat_template:
        tokenizer.chat_template = read_template(chat_template)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ChatTokenizer(tokenizer, digest, format)


def vocab_size_of(model: Path, vocabulary: Vocabulary) -> int:
    """The model's, which may be padded beyond the tokenizer's; ids below it are valid prompts."""
    path = model / "config.json"
    if not path.is_file():
        return len(vocabulary)
    try:
        config = json.loads(path.read_text("utf-8"))
        inner = config.get("text_config") or {}  # of a model that reads more than text
        size = config.get("vocab_size", inner.get("vocab_size"))
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    return size if isinstance(size, int) else len(vocabulary)
