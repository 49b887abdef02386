"""One step: what the scheduler decided and the runner computes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from baton.core.errors import BatonError
from baton.core.fingerprint import Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.core.prompt_images import ImageSpan
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenLogprobs


@dataclass(frozen=True, slots=True)
class Draw:
    """One token to draw from the logits of a slice's last position.

    (`key`, `choice`) names whose it is, for what is kept from one draw to the next. `tokens` is the
    sequence's own list, prompt and answer so far: read it during the step, never after. Where the
    slice follows a step under way it may lack the last one.
    """

    choice: int
    position: int  # of the token to be drawn
    params: SamplingParams
    key: str = ""  # of the work
    tokens: Sequence[int] = ()
    num_prompt: int = 0  # of `tokens`, those of the prompt


@dataclass(frozen=True, slots=True)
class Drawn:
    """What came of a draw.

    With `params.beam` nothing is drawn: `token_id` is the best token, `candidates` are the best
    2 n (all, in a smaller vocabulary), equal ones by ascending id, and `logprobs.top` has an entry
    for each of them at least.
    """

    token_id: int
    logprobs: TokenLogprobs | None = None  # if the draw's parameters ask for them
    # (token id, log-probability at the temperature, at most 0), best first; for a search only
    candidates: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SliceResult:
    """What a step computed for one slice: one `Drawn` per draw, one score per target, in order."""

    drawn: tuple[Drawn, ...]
    scores: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Misled:
    """In place of a result: the slice was computed with another token than the one that the step
    before drew for it in the end, or with none. Nothing of it counts; it is to be computed again.
    """


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive positions of one sequence.

    The runner writes KV of `tokens` at positions `start ...` into `blocks` (the sequence's whole
    table: position p lies in blocks[p // block_size]) and attends to everything before.
    """

    tokens: tuple[int, ...]
    start: int
    blocks: tuple[int, ...]
    draws: tuple[Draw, ...]  # empty unless the slice reaches the end of the known tokens
    # Prompt tokens whose log-probabilities are wanted, and how many alternatives of each: the first
    # follows the slice's first position, and so on. Empty, mostly.
    targets: tuple[int, ...] = ()
    num_alternatives: int = 0
    # All of the sequence's, and what stands for each among the embeddings; as in `Work`.
    images: tuple[ImageSpan, ...] = ()
    embeddings: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    # Which draw of the step before, by its place among all of that step's, gives the slice's one token:
    # it is not known yet, and `tokens` has a 0 there.
    follows: int | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    @property
    def images_here(self) -> list[int]:
        """Numbers of the images that it has tokens of."""
        return [
            number
            for number, image in enumerate(self.images)
            if image.start < self.end and self.start < image.end
        ]


@dataclass(frozen=True, slots=True)
class StepPlan:
    slices: tuple[Slice, ...]

    @property
    def num_tokens(self) -> int:
        return sum(len(s.tokens) for s in self.slices)

    @property
    def draws(self) -> list[Draw]:
        """Of all slices, in order."""
        return [draw for piece in self.slices for draw in piece.draws]


StepResults = Sequence[SliceResult | BatonError | Misled]  # one per slice of the plan


class Runner(Protocol):
    """A model on a device. Called by one thread only: `attach` once, then `run` step by step."""

    @property
    def layout(self) -> LayoutDescriptor: ...

    @property
    def fingerprint(self) -> Fingerprint: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos_token_ids(self) -> frozenset[int]: ...

    @property
    def max_model_len(self) -> int:
        """Of the model; the pool may hold less."""
        ...

    def attach(self, pool: Any) -> None:
        """Gives the runner the memory that block ids mean, of a kind that it can compute on. Called
        before the first `run`.
        """
        ...

    def check(self, params: SamplingParams) -> None:
        """Raises RequestError where it cannot draw as they say. Called from any thread."""
        ...

    def foresees(self, params: SamplingParams) -> bool:
        """Whether what is drawn with them may be computed with before anybody has looked at it: the
        next draw depends on nothing that is worked out of the answer meanwhile.
        """
        ...

    def run(self, plan: StepPlan) -> Sequence[SliceResult | BatonError]:
        """For each slice of the plan, whose tokens are all known, what came of it, in order.

        An error in place of a result ends that work alone, such as logits that are not numbers.
        """
        ...

    def rest(self) -> None:
        """There is nothing to run now."""
        ...
