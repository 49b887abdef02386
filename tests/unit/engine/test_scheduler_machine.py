"""The scheduler explored: any works, aborts, reservations and leases, on pools that are too small.

Works really run on the hash model, so that a block used twice or too late also changes a token.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from baton.core.errors import RefusedError
from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.core.token_record import TokenRecord
from baton.engine.blocks.reservation import Reservation
from baton.engine.plan import Slice
from baton.engine.sequence import Sequence, SequenceState
from baton.engine.work import (
    Admitted,
    BlocksLent,
    ChunkComputed,
    Mode,
    TokensDrawn,
    Work,
    WorkDone,
    WorkFailed,
)
from tests.support.beam_answer import hash_beams
from tests.support.engine_bench import Bench
from tests.support.engine_books import BlockBooks
from tests.support.engine_works import decode, generate, prefill, prompt_of, sampled
from tests.support.hash_answer import Answer, hash_answer

LENGTHS = st.integers(1, 23)
PRIORITIES = st.sampled_from([0, 0, 0, -10, 1, 5])
PARAMS = st.builds(
    sampled,
    max_tokens=st.integers(1, 12),
    seed=st.integers(0, 20),
    n=st.integers(1, 3),
    ignore_eos=st.booleans(),
)
STOPS = st.sampled_from([(), (), tuple(range(0, 97, 4))])  # the last: soon, and nobody knows when
PULLED = b"\xa5"
PENALTIES = st.sampled_from([None, None, None, 0.0, 1.0, 2.0])  # None: no search


class SchedulerMachine(RuleBasedStateMachine):
    bench: Bench
    books: BlockBooks

    def __init__(self) -> None:
        super().__init__()
        self.works: dict[str, Work] = {}  # those that have not been seen to end
        self.finished: list[Work] = []
        self.aborted: list[Work] = []
        self.loans: dict[str, tuple[int, ...]] = {}  # lent and not given back
        self.given_back: set[str] = set()
        self.left: dict[str, dict[int, int]] = {}  # tokens that each choice had when it left
        self.reservations: list[Reservation] = []
        self.pulled: list[tuple[int, ...]] = []  # taken and written by another thread
        self.answers: dict[Work, tuple[Answer, ...]] = {}
        self.count = 0

    @initialize(
        num_blocks=st.integers(6, 14),
        max_num_seqs=st.integers(1, 4),
        spare=st.integers(4, 16),
        caching=st.sampled_from([True, True, True, False]),
        num_slots=st.sampled_from([0, 3, 12, 40]),
        mixed=st.integers(4, 16),
        ahead=st.booleans(),
        foreseen=st.sampled_from([1, 1, 5]),
    )
    def build(
        self,
        num_blocks: int,
        max_num_seqs: int,
        spare: int,
        caching: bool,
        num_slots: int,
        mixed: int,
        ahead: bool,
        foreseen: int,
    ) -> None:
        self.bench = Bench(
            num_blocks,
            4,
            max_num_seqs,
            max_num_seqs + spare,
            caching=caching,
            num_slots=num_slots,
            max_mixed_prompt_tokens=mixed,
            ahead=ahead,
        )
        if self.bench.device is not None:
            self.bench.device.foresees = lambda params: foreseen == 1 or params.seed % foreseen > 0
        self.books = BlockBooks(self.bench)

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.everything_ends()
            self.bench.close()

    @rule(
        length=LENGTHS,
        salt=st.integers(0, 2),
        params=PARAMS,
        stops=STOPS,
        penalty=PENALTIES,
        lends=st.booleans(),
        cache_salt=st.sampled_from(["", "", "pepper"]),
        tenant=st.sampled_from(["", "", "smith"]),
        priority=PRIORITIES,
    )
    def submit(
        self,
        length: int,
        salt: int,
        params: SamplingParams,
        stops: tuple[int, ...],
        penalty: float | None,
        lends: bool,
        cache_salt: str,
        tenant: str,
        priority: int,
    ) -> None:
        make = prefill if lends else generate
        params = replace(params, stop_token_ids=stops)
        if penalty is not None:
            width = min(params.n, self.bench.limits.max_num_seqs)
            params = replace(params, n=width, beam=BeamSearch(penalty))
        work = make(self._key(), prompt_of(length, salt), params, cache_salt, tenant)
        self._submit(replace(work, priority=priority))

    @precondition(lambda self: self.works)
    @rule(data=st.data())
    def submit_what_continues_an_answer(self, data: st.DataObject) -> None:
        """As the next turn of a conversation does."""
        work = self.works[data.draw(st.sampled_from(sorted(self.works)))]
        answer = tuple(r.token_id for r in self.answers[work][0])
        prompt = (*work.prompt, *answer[: data.draw(st.integers(0, len(answer)))])[:23]
        again = generate(self._key(), prompt, work.params, work.cache_salt, work.tenant)
        self._submit(replace(again, priority=work.priority))

    @precondition(lambda self: self._handed_over())
    @rule(data=st.data())
    def submit_decode_of_a_loan(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(self._handed_over()))
        if source.draws_nothing and not self._make_last_block_private(source.key):
            return
        blocks = self.loans.pop(source.key)
        self.given_back.add(source.key)
        first = tuple(
            record
            for choice in range(source.params.n)
            for record in self.bench.records(source.key, choice)
        )
        work = decode(self._key(), source.prompt, blocks, first, source.params)
        self._submit(
            replace(
                work,
                cache_salt=source.cache_salt,
                tenant=source.tenant,
                priority=source.priority,
            )
        )

    @precondition(lambda self: self.works)
    @rule(data=st.data(), goes_on=st.booleans())
    def give_away(self, data: st.DataObject, goes_on: bool) -> None:
        """Whatever can leave leaves, and is given back, lent on, or adopted where it is."""
        for _ in range(6):
            if self._begun():
                break
            self.step(1)
        if not (begun := self._begun()):
            return
        key, choice = data.draw(st.sampled_from(begun))
        self._settle()
        if (work := self.works.get(key)) is None:
            return
        before = self.bench.scheduler.sequences
        try:
            lent = self.bench.core.give_away(work.key, choice)
        except RefusedError:
            assert self.bench.scheduler.sequences == before
            return
        params = replace(work.params, n=1, seed=work.params.seed + choice)
        told = len(lent.records)
        answer = self.answers[work][choice]
        assert [r.token_id for r in lent.records[len(work.answered) :]] == [
            r.token_id for r in answer[: told - len(work.answered)]
        ]
        self.left.setdefault(work.key, {})[choice] = told - len(work.answered)
        self._take_events()
        if not goes_on:
            self.loans[f"{work.key}, {choice}"] = lent.blocks
            return
        adopted = Work(
            self._key(),
            work.prompt,
            params,
            Mode.DECODE,
            lent.blocks,
            lent.records[-1:],
            work.cache_salt,
            work.tenant,
            tuple(record.token_id for record in lent.records[:-1]),
            priority=work.priority,
        )
        self._submit(adopted)

    @precondition(lambda self: self.works)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        """Also while steps are under way."""
        key = data.draw(st.sampled_from(sorted(self.works)))
        self.bench.core.abort(key)
        self.aborted.append(self.works.pop(key))

    @precondition(lambda self: self.loans)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """At any time: a lease may end while its prompt is still computed."""
        self._give_back(data.draw(st.sampled_from(sorted(self.loans))))

    @rule(count=st.integers(1, 6))
    def reserve(self, count: int) -> None:
        reservation = self.bench.blocks.reserve(count)
        if reservation:
            self.reservations.append(reservation)

    @rule(count=st.integers(1, 8), priority=PRIORITIES)
    def reserve_if_need_be_from_the_less_urgent(self, count: int, priority: int) -> None:
        self._settle()
        before = self.bench.blocks.free

        def take() -> bool:
            reservation = self.bench.blocks.reserve(count)
            if reservation:
                self.reservations.append(reservation)
            return reservation is not None

        gave = sum(b for theirs, b in self.bench.scheduler.yielding if theirs > priority)
        assert not self.bench.core.make_room(priority, count, take) or count <= before + gave
        self._take_events()

    @precondition(lambda self: self.reservations)
    @rule()
    def cancel(self) -> None:
        self.reservations.pop().cancel()

    @rule(count=st.sampled_from([1, 3, 100]))
    def another_thread_takes_blocks_and_writes(self, count: int) -> None:
        """As a pull does, at any time, and into whatever is free then."""
        if blocks := self.bench.blocks.allocate(min(count, self.bench.blocks.free)):
            self.pulled.append(blocks)
            for piece in self._bytes_of(blocks):
                piece[:] = PULLED * len(piece)

    @precondition(lambda self: self.pulled)
    @rule()
    def another_thread_gives_blocks_back(self) -> None:
        self.bench.blocks.release(self.pulled.pop())

    @rule(count=st.integers(1, 6))
    def step(self, count: int) -> None:
        for _ in range(count):
            stepped = self._stepped()
            self._take_events()
            self._check_plan(stepped)

    @rule()
    def step_that_finds_no_numbers(self) -> None:
        self.bench.runner.fails = True
        stepped = self._stepped()
        self.bench.runner.fails = False
        failed = [piece for piece in self.bench.last_plan.slices if piece.draws] if stepped else []
        if failed and self._has_failed(failed[0].draws[0].key):  # or nobody needed it any more
            for block in failed[0].blocks:
                assert block not in self.bench.blocks._books.cache
        self._take_events()
        self._check_plan(stepped)

    @rule()
    def step_that_misleads_the_next(self) -> None:
        """A device passes tokens on before the host has looked at them."""
        if self.bench.device is not None:
            self.bench.device.misleads = True
            self.step(2)
            self.bench.device.misleads = False

    @rule()
    def everything_lands(self) -> None:
        self._settle()

    @rule()
    def everything_ends(self) -> None:
        """Once nothing is lent or reserved any more, every work comes to its end."""
        for reservation in self.reservations:
            reservation.cancel()
        self.reservations.clear()
        while self.pulled:
            self.another_thread_gives_blocks_back()
        for _ in range(3000):
            self._take_events()
            for key in tuple(self.loans):
                self._give_back(key)
            if not self._stepped():
                break
            self._check_plan(True)
        self._take_events()
        assert not self.works
        assert not self.loans
        assert self.bench.scheduler.sequences == ()
        assert self.bench.blocks.free == self.bench.blocks.total

    @invariant()
    def every_reference_has_one_holder(self) -> None:
        if not hasattr(self, "bench"):
            return
        blocks = self.bench.blocks
        blocks.check_integrity()
        held = Counter(b for s in self.bench.scheduler.sequences for b in s.blocks)
        held.update(b for loan in self.loans.values() for b in loan)
        held.update(self.bench.scheduler.tables.held)
        held.update(b for blocks in self.pulled for b in blocks)
        assert held == Counter({b: n for b, n in enumerate(blocks._books.references) if n})

    @invariant()
    def what_another_thread_wrote_is_as_it_was(self) -> None:
        for piece in self._bytes_of([b for blocks in self.pulled for b in blocks]):
            assert piece == PULLED * len(piece)

    @invariant()
    def every_sequence_holds_what_its_state_says(self) -> None:
        if hasattr(self, "bench"):
            for sequence in self.bench.scheduler.sequences:
                self._check_sequence(sequence)

    @invariant()
    def names_lead_to_what_they_name(self) -> None:
        if hasattr(self, "books"):
            self.books.check_names()

    def _check_sequence(self, sequence: Sequence) -> None:
        assert len(sequence.blocks) == len(set(sequence.blocks))
        if sequence.lends and sequence.blocks:
            assert len(sequence.blocks) == self.bench.limits.blocks_for(len(sequence.tokens))
        if sequence.state is SequenceState.WAITING:
            assert not sequence.lends or not sequence.admitted, "its blocks were freed"
            assert not sequence.blocks
            assert not sequence.num_computed
        elif not sequence.lends:
            assert sequence.published == sequence.blocks[: len(sequence.published)]
            blocks_for = self.bench.limits.blocks_for
            flying = sum(f.picks.get(sequence, 0) for f in self.bench.scheduler._flying)
            least = blocks_for(sequence.num_computed + flying)
            most = blocks_for(len(sequence.tokens)) if sequence.work.searches else least
            assert least <= len(sequence.blocks) <= most
        assert sequence.num_computed < len(sequence.tokens)

    def _settle(self) -> None:
        self.bench.core.settle()
        self._take_events()

    def _stepped(self) -> bool:
        writing = {
            s.key if s.work.searches else id(s)
            for s in self.bench.scheduler.sequences
            if s.state is SequenceState.RUNNING and s.remaining == 1 and not s.is_prompt
        }
        before = self.bench.scheduler.preemptions
        stepped = self.bench.step()
        self.writes_on = len(writing) > self.bench.scheduler.preemptions - before
        return stepped

    def _check_plan(self, stepped: bool) -> None:
        limits = self.bench.limits
        running = [s for s in self.bench.scheduler.sequences if s.state is SequenceState.RUNNING]
        assert len(running) <= limits.max_num_seqs
        if not stepped:
            return
        plan = self.bench.last_plan
        assert plan.num_tokens <= limits.max_num_batched_tokens
        # One that comes back to the batch, all but its last token cached, bounds nobody's reading.
        if self.writes_on and any(self._writes(piece) for piece in plan.slices):
            spared = limits.max_num_seqs  # by those who gave way in this very step
            read = sum(len(s.tokens) for s in plan.slices if not self._writes(s))
            assert read <= limits.max_mixed_prompt_tokens + spared
        assert len(plan.slices) <= limits.max_num_seqs
        written = Counter[int]()
        for piece in plan.slices:
            end = piece.start + len(piece.tokens)
            assert piece.draws or not end % limits.block_size or self._only_reads(piece)
            assert len(piece.blocks) >= limits.blocks_for(end)
            for one in piece.draws:  # nothing is computed for a token that nobody will get
                assert one.position < limits.max_model_len
                assert one.position - one.num_prompt < one.params.max_tokens or one.params.beam
            first, last = piece.start // limits.block_size, (end - 1) // limits.block_size
            written.update(piece.blocks[first : last + 1])
        assert not written or max(written.values()) == 1

    def _writes(self, piece: Slice) -> bool:
        """An answer's next token, nothing else."""
        last = piece.start + len(piece.tokens)
        return len(piece.tokens) == 1 and any(last > draw.num_prompt for draw in piece.draws)

    def _make_last_block_private(self, key: str) -> bool:
        """As it is where blocks were pulled: a search writes its last position again."""
        *others, last = self.loans[key]
        if (private := self.bench.blocks.allocate(1)) is None:
            return False
        self.bench.pool.copy_block(last, private[0])
        self.bench.blocks.release((last,))
        self.loans[key] = (*others, *private)
        return True

    def _only_reads(self, piece: Slice) -> bool:
        """A prompt that somebody else will search from."""
        return any(
            work.draws_nothing and work.prompt[piece.start :] == piece.tokens
            for work in (*self.works.values(), *self.finished, *self.aborted)
        )

    def _bytes_of(self, blocks: Iterable[int]) -> Iterator[memoryview]:
        size = self.bench.pool.block_bytes
        for block in blocks:
            yield self.bench.pool.view[block * size : (block + 1) * size]

    def _has_failed(self, key: str) -> bool:
        return isinstance(self.bench.events[key][-1], WorkFailed)

    def _begun(self) -> list[tuple[str, int]]:
        """Choices of which something is drawn, whether they can leave or not."""
        begun = (s for s in self.bench.scheduler.sequences if not s.is_prompt)
        return [(s.key, s.choices[0]) for s in begun if s.key in self.works]

    def _key(self) -> str:
        self.count += 1
        return f"w{self.count}"

    def _submit(self, work: Work) -> None:
        self.works[work.key] = work
        self.answers[work] = self._answer(work)
        if work.blocks:
            self.books.adopted(work)
        self.bench.submit(work)
        self._take_events()

    def _answer(self, work: Work) -> tuple[Answer, ...]:
        model, limits = self.bench.model, self.bench.limits
        if work.params.beam is not None:
            longest = limits.search_len(len(work.prompt), work.params)
            return hash_beams(model, work.prompt, work.params, longest)
        answers = hash_answer(model, work.prompt, work.params, limits.max_model_len)
        return tuple(answer[len(work.answered) :] for answer in answers)

    def _handed_over(self) -> list[Work]:
        """Prefills that are done, whose blocks are still lent and whose answer goes on."""
        return [w for w in self.finished if w.key in self.loans]

    def _give_back(self, key: str) -> None:
        self.bench.blocks.release(self.loans.pop(key))
        self.given_back.add(key)

    def _take_events(self) -> None:
        for key, events in self.bench.events.items():
            lent = [e.blocks for e in events if isinstance(e, BlocksLent)]
            if lent and key not in self.given_back:
                self.loans[key] = lent[0]
            if key in self.works:
                self._check_events(self.works[key])

    def _check_events(self, work: Work) -> None:
        events = self.bench.events[work.key]
        expected = self._expected(work)
        for choice, answer in enumerate(expected):
            records = self.bench.records(work.key, choice)
            assert records == answer[: len(records)]
        if any(isinstance(e, WorkFailed) for e in events):
            assert isinstance(events[-1], WorkFailed)
            del self.works[work.key]
        if any(isinstance(e, WorkDone) for e in events):
            assert isinstance(events[-1], WorkDone)
            left = self.left.get(work.key, {})
            first = 1 if work.first else 0  # told by whoever drew them
            for choice, answer in enumerate(expected):
                told = answer[: left[choice] - first] if choice in left else answer
                assert self.bench.records(work.key, choice) == told
            self._check_order(work)
            self.finished.append(self.works.pop(work.key))

    def _check_order(self, work: Work) -> None:
        """Of a prefill: admitted, lent, chunks up to the prompt's end, first tokens but for a
        search, done.
        """
        events = self.bench.events[work.key]
        if work.key in self.loans or work.key in self.given_back:
            admitted, first, *chunks, _ = events
            assert isinstance(admitted, Admitted)
            assert isinstance(first, BlocksLent)
            if work.params.beam is None:
                assert isinstance(chunks.pop(), TokensDrawn)
            lengths = [e.num_tokens for e in chunks if isinstance(e, ChunkComputed)]
            assert len(lengths) == len(chunks)
            assert lengths == sorted(set(lengths))
            assert lengths[-1] == len(work.prompt)

    def _expected(self, work: Work) -> list[tuple[TokenRecord, ...]]:
        answers = self.answers[work]
        if work.first:
            return [answer[1:] for answer in answers]
        if work.draws_nothing:
            return [() for _ in answers]
        if work.mode.value == "prefill":
            return [answer[:1] for answer in answers]
        return list(answers)


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_over_100_000_random_steps() -> None:
    done = Counter[str]()

    class CountedMachine(SchedulerMachine):
        @invariant()
        def one_more_step(self) -> None:
            done["steps"] += 1

        def teardown(self) -> None:
            super().teardown()
            if hasattr(self, "bench"):
                done["hits"] += self.bench.scheduler.tables.cache_hits
                done["brought back"] += self.bench.blocks.host_counts.hits

    many = settings(max_examples=500, stateful_step_count=60, deadline=None, database=None)
    while done["steps"] < 100_000:
        run_state_machine_as_test(CountedMachine, settings=many)
    assert done["hits"] > 10_000, "what is tested must happen"
    assert done["brought back"] > 1000
