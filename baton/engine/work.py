"""What an engine is asked to do, and what it says while doing it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from baton.core.errors import BatonError
from baton.core.prompt_images import ImageSpan
from baton.core.sampling_params import SamplingParams
from baton.core.step_totals import NO_TOTALS, StepTotals
from baton.core.token_record import PromptLogprobs, TokenRecord
from baton.engine.blocks.host_tier import HostCounts


class Mode(Enum):
    GENERATE = "generate"  # read the prompt and write the whole answer here
    PREFILL = "prefill"  # read the prompt, draw the first token of each choice, lend the blocks
    DECODE = "decode"  # the prompt's KV is in `blocks` already; go on from `first`


@dataclass(frozen=True, slots=True)
class Work:
    """One request to one engine.

    DECODE: `blocks` hold the KV of all that is known, in order, one reference each, which the
    engine takes over at `submit`; `first` has one record per choice, and choices that it ends
    are not continued.

    With `params.beam`, PREFILL draws nothing and DECODE comes without `first`: it computes the
    prompt's last token again, to search from there, so that nobody else may read the last block.

    `answered` continues an answer that was begun elsewhere: tokens read behind the prompt, which count
    as the answer's for everything that looks at it. Such a work has one choice, and draws it as if
    it had drawn those tokens itself. "Known" are the tokens of both.

    A cached prefix is found only by works of the same `cache_salt` and `tenant`.

    `images` of the prompt are in order and apart from each other. Where the prompt is read here,
    `embeddings` has a tensor [tokens, hidden] for each; a DECODE needs none, unless it is preempted
    and what it pulled is gone: it then fails with UnavailableError.
    """

    key: str  # unique among the engine's works, such as "<request id>/<attempt>"
    prompt: tuple[int, ...]
    params: SamplingParams
    mode: Mode
    blocks: tuple[int, ...] = ()
    first: tuple[TokenRecord, ...] = ()
    cache_salt: str = ""
    tenant: str = ""
    answered: tuple[int, ...] = ()
    reads_cache: bool = True  # False: computes every token itself, and still fills the cache
    names: tuple[bytes, ...] = ()  # of its first full blocks, if `Engine.prefix_names` was asked
    priority: int = 0  # lower goes first, within one whoever was asked for earlier
    keep_seconds: float = 0.0  # that its KV is to be evicted last, after its end
    asked_at: float = 0.0  # seconds on the worker's clock
    images: tuple[ImageSpan, ...] = ()
    embeddings: tuple[Any, ...] = field(default=(), compare=False, repr=False)

    @property
    def known(self) -> tuple[int, ...]:
        """The tokens to be read before anything is drawn."""
        return self.prompt + self.answered

    @property
    def num_known(self) -> int:
        return len(self.prompt) + len(self.answered)

    @property
    def scores_prompt(self) -> bool:
        """Whether log-probabilities of the prompt are told."""
        return self.params.prompt_logprobs is not None and self.mode is not Mode.DECODE

    @property
    def searches(self) -> bool:
        """Beams are searched here: `n` sequences in one step, and no word of them before the end."""
        return self.params.beam is not None and self.mode is not Mode.PREFILL

    @property
    def draws_nothing(self) -> bool:
        """Only the KV is wanted: whoever gets it searches."""
        return self.params.beam is not None and self.mode is Mode.PREFILL

    @property
    def finds_cache(self) -> bool:
        """Whether it may begin after a cached prefix: what is not computed has no scores."""
        return self.reads_cache and not self.scores_prompt


@dataclass(frozen=True, slots=True)
class Admitted:
    """GENERATE, PREFILL: the work leaves the queue. The first event, once per work.

    KV of `num_cached_tokens` known tokens was in the prefix cache: full blocks, and never the
    last token. One that was preempted and comes back says nothing again.
    """

    num_cached_tokens: int
    kv_number: int = field(default=0, compare=False)  # of the cache's latest event by then


@dataclass(frozen=True, slots=True)
class BlocksLent:
    """PREFILL: the blocks of all that is known, in order. One reference each is now the sink's.

    Their bytes are final only as far as `ChunkComputed` says; the unused tail of the last block
    is zero.
    """

    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChunkComputed:
    """PREFILL: KV of the first `num_tokens` known tokens is final. Comes once per chunk.

    Cached tokens are a chunk that comes with BlocksLent.
    """

    num_tokens: int


@dataclass(frozen=True, slots=True)
class PromptScored:
    """GENERATE, PREFILL, where asked for: the next prompt tokens' log-probabilities, each once."""

    scores: PromptLogprobs


@dataclass(frozen=True, slots=True)
class TokensDrawn:
    """What one step drew for this work: at most one record per choice.

    Of a search: nothing, as a sign of life, and at its end all records, choice after choice.
    """

    records: tuple[TokenRecord, ...]


@dataclass(frozen=True, slots=True)
class ChoiceLeft:
    """The choice was given away: it goes on elsewhere, behind what was told of it here."""

    choice: int


@dataclass(frozen=True, slots=True)
class WorkDone:
    """Every choice has ended or left; the engine holds nothing of this work any more."""


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """The work is over without its answer; the engine holds nothing of it any more."""

    error: BatonError


EngineEvent = (
    Admitted
    | BlocksLent
    | ChunkComputed
    | PromptScored
    | TokensDrawn
    | ChoiceLeft
    | WorkDone
    | WorkFailed
)

# Called on the engine's thread, in order; must not block. After `abort` returns some events may
# still come, but BlocksLent is always delivered once the references exist, so that they can be
# given back.
EventSink = Callable[[EngineEvent], None]


@dataclass(frozen=True, slots=True)
class ChoiceLent:
    """A choice that was given away: what whoever goes on with it needs.

    `blocks` hold the KV of prompt and answer but for the last token, `num_computed` tokens in all;
    one reference each is the receiver's. The unused tail of the last block is zero. `records` are
    the answer so far, as choice 0, without log-probabilities.
    """

    blocks: tuple[int, ...]
    num_computed: int
    records: tuple[TokenRecord, ...]


# Called once, on the engine's thread; must not block. Whether there is room, or why nobody can say.
RoomSink = Callable[[bool | BatonError], None]

# Called once, on the engine's thread; must not block. An error: nothing was given away.
GiveAwaySink = Callable[[ChoiceLent | BatonError], None]


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """A reading, taken from any thread."""

    running: int
    waiting: int
    free_blocks: int  # neither used nor reserved; what they hold may still be cached
    reserved_blocks: int
    total_blocks: int
    lacks: int | None  # most urgent priority of works that are here and wait for some; None: none
    yielding: tuple[tuple[int, int], ...]  # blocks that the less urgent would give up, by priority
    cache_queries: int  # prompt tokens looked up in the prefix cache, only grows
    cache_hits: int  # of those found, there or in host memory, only grows
    preemptions: int  # only grows
    aborts: int  # works dropped before their end, only grows
    host: HostCounts  # of what the pool gave up
    steps: StepTotals = NO_TOTALS

    @property
    def kv_usage(self) -> float:
        """Share of the pool in use, 0 to 1."""
        return 1.0 - self.free_blocks / self.total_blocks if self.total_blocks else 0.0

    @property
    def short_of_blocks(self) -> bool:
        """A work that is here already waits for some."""
        return self.lacks is not None
