"""Grammars by xgrammar, which is an optional extra: with it come torch and triton.

A grammar's text is a JSON object with one of
    json_schema: a schema, beside it `any_whitespace`, whether JSON's spaces are free
    ebnf, lark, regex: a text
    structural_tag: an object as xgrammar has it
"""

import json
import time
from collections.abc import Collection
from importlib import import_module
from logging import Logger
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from baton.core.errors import RequestError, SettingsError
from baton.grammars.pieces import by_name, pieces_of

MISSING = "xgrammar is not installed; pip install 'baton-serving[xgrammar]' brings it"
SPACES = 64  # blanks between JSON's tokens: without a bound a model may write them for ever
LONGEST_REASON = 400  # characters of the library's own words
_NO_TEXT = b"\xff"  # begins no UTF-8: what is spelled with it is reached by its id only


class XgrammarCompiler:
    def __init__(
        self, folder: Path, vocab_size: int, eos_token_ids: Collection[int], logger: Logger
    ) -> None:
        """Of the folder's tokenizer.json. `vocab_size`: of the logits.

        Raises RequestError, for it is read when the first request needs it.
        """
        try:
            self._library: Any = import_module("xgrammar")
        except ImportError as error:
            raise RequestError(MISSING) from error
        begun = time.monotonic()
        try:
            text = (folder / "tokenizer.json").read_text("utf-8")
            pieces = pieces_of(Tokenizer.from_str(text), vocab_size)
        except (OSError, ValueError, SettingsError) as error:
            raise RequestError(f"this model cannot do structured output: {error}") from error
        self.ends = frozenset(eos_token_ids) or frozenset([min(pieces.special, default=0)])
        vocabulary = self._library.TokenizerInfo(
            by_name(pieces, pieces.special - self.ends, _NO_TEXT),
            self._library.VocabType.RAW,
            vocab_size=len(pieces.texts),
            stop_token_ids=sorted(self.ends),
        )
        self._compiler = self._library.GrammarCompiler(
            vocabulary, max_threads=1, cache_enabled=False
        )
        self._size = len(pieces.texts)
        logger.info("Structured output is ready after %.2f s", time.monotonic() - begun)

    def compiled(self, text: str) -> "XgrammarGrammar":
        try:
            grammar = XgrammarGrammar(self._library, self._compile(json.loads(text)), self._size)
        except RequestError:
            raise
        except Exception as error:  # the library raises whatever
            raise RequestError(f"the grammar cannot be used: {_reason(error)}") from error
        start = grammar.matcher()
        if not any(start.allowed(self._size)):
            raise RequestError("the grammar cannot be used: no text satisfies it")
        return grammar

    def _compile(self, form: dict[str, Any]) -> Any:
        match form:
            case {"json_schema": schema, "any_whitespace": free}:
                return self._compiler.compile_json_schema(
                    json.dumps(schema),
                    any_whitespace=free,
                    strict_mode=False,
                    max_whitespace_cnt=SPACES if free else None,
                )
            case {"ebnf": str(text)}:
                return self._compiler.compile_grammar(text)
            case {"lark": str(text)}:
                return self._compiler.compile_lark(text)
            case {"regex": str(text)}:
                return self._compiler.compile_regex(text)
            case {"structural_tag": tag}:
                return self._compiler.compile_structural_tag(json.dumps(tag))
        raise RequestError("the grammar is of no form that is known here")


class XgrammarGrammar:
    def __init__(self, library: Any, compiled: Any, size: int) -> None:
        self._library = library
        self._compiled = compiled
        self._size = size

    def matcher(self) -> "XgrammarMatcher":
        return XgrammarMatcher(self._library, self._compiled, self._size)


class XgrammarMatcher:
    def __init__(self, library: Any, compiled: Any, size: int) -> None:
        self._matcher = library.GrammarMatcher(compiled)
        self._ends: frozenset[int] = frozenset(self._matcher.stop_token_ids)
        self._bits = library.allocate_token_bitmask(1, size)
        self._size = size
        self._known: bytearray | None = None  # the mask, until a token is taken

    @property
    def over(self) -> bool:
        return bool(self._matcher.is_terminated()) or (self.complete and self._only_ends())

    @property
    def complete(self) -> bool:
        return bool(self._matcher.is_terminated() or self._matcher.is_completed())

    def take(self, token_id: int) -> bool:
        self._known = None
        return bool(self._matcher.accept_token(token_id))

    def allowed(self, vocab_size: int) -> bytearray:
        return self._mask()[:vocab_size]

    def _only_ends(self) -> bool:
        mask = self._mask()
        ends: int = sum(mask[token_id] for token_id in self._ends)
        return mask.count(1) == ends

    def _mask(self) -> bytearray:
        """Of the whole vocabulary, one byte per token id, 0 or 1."""
        if self._known is None:
            self._matcher.fill_next_token_bitmask(self._bits)
            octets = self._bits.numpy().view("uint8").reshape(-1)
            bits = _unpacked(octets)
            self._known = bytearray(bits[: self._size])
        return self._known


def _unpacked(octets: Any) -> bytes:
    """Bit i of octet i // 8 as byte i."""
    numpy: Any = import_module("numpy")
    return bytes(numpy.unpackbits(octets, bitorder="little"))


def _reason(error: Exception) -> str:
    """Without the library's file names."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if ".cc:" in words:
        words = words.rpartition(".cc:")[2].partition(": ")[2]
    return words[:LONGEST_REASON]
