"""What grammars forbid, filled in on a thread of its own while the model computes the logits."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from baton.core.errors import BatonError, RequestError
from baton.core.sampling_params import Grammar, GrammarBackend
from baton.engine.grammar_state import Endings, GrammarState
from baton.engine.plan import Draw
from baton.grammars.backend import CompiledGrammar, Compiler
from baton.grammars.compilers import load_compiler

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Mask = bytearray | BatonError | None  # as `GrammarState.allowed` has it
Source = tuple[GrammarBackend, str]  # who reads the grammar, its text

COMPILED = 32  # grammars kept; what one learns of its lexer is tens of megabytes at worst
STATES = 512  # choices kept; one that was dropped is replayed


class GrammarMasks:
    """Called by one thread: `begin` before the forward pass, `apply` after it. Nothing is loaded
    before the first grammar comes, and rows without one cost nothing.
    """

    def __init__(self, folder: Path, vocab_size: int, eos_token_ids: frozenset[int]) -> None:
        """`vocab_size`: of the logits."""
        self._folder = folder
        self._vocab_size = vocab_size
        self._eos = eos_token_ids
        self._thread = ThreadPoolExecutor(1, "grammar-masks")  # starts with its first task
        self._pending: tuple[Sequence[Draw], Future[dict[int, Mask]]] | None = None
        self._compilers: dict[GrammarBackend, Compiler] = {}
        self._compiled: OrderedDict[Source, CompiledGrammar | RequestError] = OrderedDict()
        self._states: OrderedDict[tuple[str, int], GrammarState] = OrderedDict()

    def begin(self, draws: Sequence[Draw]) -> None:
        """Starts on the masks of `draws`, whose tokens are all known."""
        if any(draw.params.grammar is not None for draw in draws):
            self._pending = draws, self._thread.submit(self._fill, draws)

    def apply(self, logits: Tensor, draws: Sequence[Draw]) -> list[BatonError | None]:
        """-inf in `logits`, float [draws, vocabulary], for what a row's grammar forbids.

        An error where it leaves nothing; that row is as it was.
        """
        errors: list[BatonError | None] = [None] * len(draws)
        pending, self._pending = self._pending, None
        if pending is None or pending[0] is not draws:
            masks = self._fill(draws)
        else:
            masks = pending[1].result()
        for row, mask in masks.items():
            if isinstance(mask, BatonError):
                errors[row] = mask
            elif mask is not None:
                forbidden = torch.frombuffer(mask, dtype=torch.uint8) == 0
                logits[row].masked_fill_(forbidden, float("-inf"))
        return errors

    def _fill(self, draws: Sequence[Draw]) -> dict[int, Mask]:
        return {
            row: self._mask(draw, draw.params.grammar)
            for row, draw in enumerate(draws)
            if draw.params.grammar is not None
        }

    def _mask(self, draw: Draw, grammar: Grammar) -> Mask:
        try:
            state = self._state(draw, grammar)
        except RequestError as error:
            return error
        state.advance(draw.tokens[draw.num_prompt :])
        mask = state.allowed(draw.params, self._vocab_size)
        if isinstance(mask, BatonError):  # what it learnt may be at its limit: begin anew next time
            self._states.pop((draw.key, draw.choice))
            self._compiled.pop((grammar.backend, grammar.text), None)
        return mask

    def _state(self, draw: Draw, grammar: Grammar) -> GrammarState:
        place, answer = (draw.key, draw.choice), draw.tokens[draw.num_prompt :]
        known = self._states.get(place)
        if known is None or not known.fits(grammar, answer):
            matcher = self._start((grammar.backend, grammar.text)).matcher()
            endings = self._endings(self._compilers[grammar.backend])
            self._states[place] = known = GrammarState(grammar, matcher, endings)
        _touch(self._states, place, STATES)
        return known

    def _start(self, source: Source) -> CompiledGrammar:
        backend, text = source
        if source not in self._compiled:
            self._compiled[source] = _outcome(lambda: self._loaded(backend).compiled(text))
        _touch(self._compiled, source, COMPILED)
        outcome = self._compiled[source]
        if isinstance(outcome, RequestError):
            raise outcome
        return outcome

    def _loaded(self, backend: GrammarBackend) -> Compiler:
        if backend not in self._compilers:
            self._compilers[backend] = load_compiler(
                backend, self._folder, self._vocab_size, self._eos, logger
            )
        return self._compilers[backend]

    def _endings(self, compiler: Compiler) -> Endings:
        return Endings(self._eos, compiler.ends - self._eos)


def _outcome(compiled: Callable[[], CompiledGrammar]) -> CompiledGrammar | RequestError:
    try:
        return compiled()
    except RequestError as error:
        return error


def _touch(kept: "OrderedDict[K, V]", key: K, most: int) -> None:
    """`key` was used last; the one that was not used for longest makes room."""
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
