"""Grammars are tried with their library before a worker hears of them, away from the event loop.

A hostile one must not hurt: its text is bounded, compiling is bounded by the library's limits, and
it runs on two threads of its own, with a time after which nobody waits for it any more.
"""

import asyncio
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from baton.core.errors import RequestError
from baton.core.sampling_params import GrammarBackend
from baton.grammars.backend import Compiler
from baton.grammars.compilers import load_compiler

logger = logging.getLogger(__name__)

LONGEST = 1 << 20  # characters of a grammar
SECONDS = 5.0  # for compiling one
KEPT = 1024  # outcomes

Build = Callable[[Mapping[str, int]], str]  # of special tokens by their text, a grammar's text


class GrammarChecker:
    def __init__(
        self,
        folder: Path,
        vocab_size: int,
        specials: Mapping[str, int],
        seconds: float = SECONDS,
        backend: GrammarBackend = GrammarBackend.GUIDANCE,
    ) -> None:
        """`folder` has the tokenizer, which is read when the first grammar comes."""
        self._backend = backend
        self._folder = folder
        self._vocab_size = vocab_size
        self._specials = specials
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(2, "grammar-check")
        self._loading = threading.Lock()
        self._compiler: Compiler | None = None
        self._outcomes: OrderedDict[bytes, str] = OrderedDict()  # by digest; "" or what is wrong

    async def checked(self, build: Build, param: str) -> str:
        """What `build` gives, once it is known to work. Raises RequestError that names `param`."""
        loop = asyncio.get_running_loop()
        if self._compiler is None:
            await loop.run_in_executor(self._threads, self._load)
        try:
            work = loop.run_in_executor(self._threads, self._check, build)
            return await asyncio.wait_for(work, self._seconds)
        except TimeoutError as error:
            raise RequestError("the grammar takes too long to compile", param) from error
        except RequestError as error:
            raise RequestError(str(error), param) from error

    def _check(self, build: Build) -> str:
        try:
            text = build(self._specials)
        except UnicodeEncodeError as error:
            raise RequestError("the grammar holds half of a surrogate pair") from error
        if len(text) > LONGEST:
            raise RequestError(f"the grammar has more than {LONGEST} characters")
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        wrong = self._outcomes.get(digest)
        if wrong is None:
            wrong = self._outcomes[digest] = self._wrong(text)
            if len(self._outcomes) > KEPT:
                self._outcomes.popitem(last=False)
        if wrong:
            raise RequestError(wrong)
        return text

    def _wrong(self, text: str) -> str:
        try:
            self._load().compiled(text)
        except RequestError as error:
            return str(error)
        return ""

    def _load(self) -> Compiler:
        with self._loading:
            if self._compiler is None:
                self._compiler = load_compiler(
                    self._backend, self._folder, self._vocab_size, (), logger
                )
            return self._compiler
