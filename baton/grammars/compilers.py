"""Which library reads a grammar."""

from collections.abc import Callable, Collection
from importlib.util import find_spec
from logging import Logger
from pathlib import Path

from baton.core.sampling_params import GrammarBackend
from baton.grammars.backend import Compiler
from baton.grammars.guidance import GuidanceCompiler
from baton.grammars.xgrammar_compiler import XgrammarCompiler

_COMPILERS: dict[GrammarBackend, Callable[[Path, int, Collection[int], Logger], Compiler]] = {
    GrammarBackend.GUIDANCE: GuidanceCompiler,
    GrammarBackend.XGRAMMAR: XgrammarCompiler,
}
_MODULES = {GrammarBackend.GUIDANCE: "llguidance", GrammarBackend.XGRAMMAR: "xgrammar"}


def is_installed(backend: GrammarBackend) -> bool:
    return find_spec(_MODULES[backend]) is not None


def load_compiler(
    backend: GrammarBackend,
    folder: Path,
    vocab_size: int,
    eos_token_ids: Collection[int],
    logger: Logger,
) -> Compiler:
    """Of the tokenizer in `folder`; a second or two where its vocabulary is large. Raises
    RequestError, for it is read when the first request needs it.
    """
    return _COMPILERS[backend](folder, vocab_size, eos_token_ids, logger)
