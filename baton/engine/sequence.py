"""One run of tokens being computed: a prompt on behalf of all its choices, later one choice."""

from dataclasses import dataclass, field
from enum import Enum

from baton.core.block_hashes import HashChain
from baton.core.errors import InternalError
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from baton.engine.limits import Limits
from baton.engine.plan import Draw, Drawn, Slice
from baton.engine.work import Mode, Work


class SequenceState(Enum):
    WAITING = "waiting"  # holds no block; ends by admission, when there is room for it
    READY = "ready"  # holds blocks of what is computed; ends by a free place in the batch
    RUNNING = "running"  # in the batch; ends by its last token, a pause or by preemption
    FINISHED = "finished"  # holds nothing, for ever


_MOVES = {
    SequenceState.WAITING: {SequenceState.RUNNING, SequenceState.FINISHED},
    SequenceState.READY: {
        SequenceState.RUNNING,
        SequenceState.WAITING,
        SequenceState.FINISHED,
    },
    SequenceState.RUNNING: {
        SequenceState.READY,
        SequenceState.WAITING,
        SequenceState.FINISHED,
    },
    SequenceState.FINISHED: set(),
}


@dataclass(slots=True, eq=False)
class Sequence:
    """`choices` are drawn from the last row: all n while the prompt is computed, then one. In a
    search the one is the beam's rank.

    `blocks` are the table of the positions computed so far (PREFILL: of all that is known), one
    reference each. `published` are the blocks by which others find its first full ones; those of
    PREFILL may be others than its own, which had to stay because they were lent.
    """

    work: Work
    arrival: int  # of the work
    choices: tuple[int, ...]
    tokens: list[int]  # prompt, and the answer of this choice
    state: SequenceState = SequenceState.WAITING
    num_computed: int = 0  # tokens whose KV is in `blocks`
    blocks: list[int] = field(default_factory=list)
    published: list[int] = field(default_factory=list)
    chain: HashChain | None = None  # None: there is no prefix cache
    admitted: bool = False  # the work has heard so
    num_scored: int = 0  # prompt positions whose log-probabilities were told, or have none
    aged: bool = False  # of the work: more urgent than whoever is not, until its end
    gave_way: bool = False  # to a reservation

    @property
    def key(self) -> str:
        return self.work.key

    @property
    def level(self) -> tuple[bool, int]:
        """Who has less takes place and blocks from who has more."""
        return (False, 0) if self.aged else (True, self.work.priority)

    @property
    def age(self) -> tuple[float, int]:
        """Who came first: to the cluster, then here."""
        return self.work.asked_at, self.arrival

    @property
    def order(self) -> tuple[tuple[bool, int], tuple[float, int], int]:
        """Who is least is served first and preempted last."""
        return self.level, self.age, self.choices[0]

    @property
    def is_prompt(self) -> bool:
        """Nothing is drawn yet."""
        return len(self.tokens) == self.work.num_known

    @property
    def lends(self) -> bool:
        """Its blocks are somebody's to read: it is never preempted by freeing them."""
        return self.work.mode is Mode.PREFILL

    @property
    def remaining(self) -> int:
        """Known tokens not computed yet; 1 while decoding."""
        return len(self.tokens) - self.num_computed

    @property
    def writes(self) -> bool:
        """In the batch with nothing more to read: it has one token in every step."""
        return self.state is SequenceState.RUNNING and self.remaining == 1

    def chunk(self, budget: int, block_size: int, flying: int = 0) -> int:
        """Tokens to compute now: all that remain, or up to a block boundary. `flying` as in
        `slice_of`.
        """
        start = self.num_computed + flying
        if len(self.tokens) - start <= budget:
            return len(self.tokens) - start
        end = start + budget
        return max(0, end - end % block_size - start)

    def fork(self, record: TokenRecord) -> "Sequence":
        """One choice that goes on by itself with the token that was drawn for it; without blocks."""
        tokens = [*self.tokens, record.token_id]
        chain = None if self.chain is None else self.chain.copy()
        return Sequence(
            self.work,
            self.arrival,
            (record.choice,),
            tokens,
            chain=chain,
            admitted=True,
            num_scored=self.num_scored,
            aged=self.aged,
        )

    def move(self, state: SequenceState) -> None:
        if state not in _MOVES[self.state]:
            raise InternalError(f"{self.key} {self.choices}: {self.state.value} -> {state.value}")
        self.state = state

    def slice_of(self, count: int, flying: int = 0, follows: int | None = None) -> Slice:
        """The next `count` tokens; with draws when they are all that is known.

        Behind `flying` tokens that a step under way computes; with `follows`, of which `Slice` says
        what it means, the one token that this step draws.
        """
        start, end = self.num_computed + flying, self.num_computed + flying + count
        known = len(self.tokens) + (follows is not None)
        draws: tuple[Draw, ...] = ()
        if end == known and not self.work.draws_nothing:
            draws = tuple(self._draw(choice, known) for choice in self.choices)
        targets: tuple[int, ...] = ()
        if self.work.scores_prompt and self.num_scored <= min(end, len(self.work.prompt) - 1):
            targets = self.work.prompt[start + 1 : end + 1]
        alternatives = self.work.params.prompt_logprobs or 0
        tokens = tuple(self.tokens[start:end]) if follows is None else (0,)
        return Slice(
            *(tokens, start, tuple(self.blocks)),
            *(draws, targets, alternatives),
            *(self.work.images, self.work.embeddings),
            follows,
        )

    def record(self, choice: int, drawn: Drawn, limits: Limits) -> TokenRecord:
        """The token after the known ones, with the reason if it ends the choice."""
        position = len(self.tokens)
        reason = finish_reason(self.work, position, drawn.token_id, limits)
        return TokenRecord(choice, position, drawn.token_id, reason, drawn.logprobs)

    def ends_with_next(self, limits: Limits) -> bool:
        """Whatever is drawn next, nothing is drawn behind it."""
        length = len(self.tokens) + 1
        return self.lends or is_full(self.work, length, limits)

    def _draw(self, choice: int, position: int) -> Draw:
        work = self.work
        return Draw(choice, position, work.params, work.key, self.tokens, len(work.prompt))


def finish_reason(work: Work, position: int, token_id: int, limits: Limits) -> FinishReason | None:
    """None while the choice goes on; a token that stops it wins over a full length."""
    params, length = work.params, position + 1
    generated = length - len(work.prompt)
    if _stops(params, token_id, limits) and (generated >= params.min_tokens or params.grammar):
        return FinishReason.STOP
    return FinishReason.LENGTH if is_full(work, length, limits) else None


def is_full(work: Work, length: int, limits: Limits) -> bool:
    """A choice of so many tokens, its prompt included, gets no more."""
    return length - len(work.prompt) >= work.params.max_tokens or length >= limits.max_model_len


def _stops(params: SamplingParams, token_id: int, limits: Limits) -> bool:
    ends = token_id in limits.eos_token_ids and not params.ignore_eos
    return ends or token_id in params.stop_token_ids
