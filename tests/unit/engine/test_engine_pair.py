"""Two engines on pools that are too small, clients on threads of their own that give up anywhere.

The scheduler's machine has one thread; here blocks are released, adopted and read by others.
"""

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from baton.core.sampling_params import BeamSearch
from baton.engine.engine import Engine
from baton.engine.work import ChunkComputed, EngineEvent, Mode, Work, WorkDone
from tests.support.beam_answer import hash_beams
from tests.support.engine_events import EventLog
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_running import engine_config, running_engine
from tests.support.engine_works import decode, generate, prefill, sampled
from tests.support.hash_answer import Answer, hash_answer

NUM_CLIENTS = 4
LONGEST = 128  # tokens of a prompt, whose answer has up to 24
BLOCK = 16  # tokens of a block


class Client:
    def __init__(self, name: int, seed: int, prefills: Engine, decodes: Engine) -> None:
        self._name = name
        self._draw = random.Random(f"{seed}/{name}")
        self._prefills, self._decodes = prefills, decodes
        shared = random.Random(seed)
        self._texts = [tuple(shared.randrange(97) for _ in range(LONGEST)) for _ in range(3)]
        self.num_handed_over = 0

    def ask(self, number: int) -> None:
        """One request: answered here, or read by one engine and written by the other."""
        draw, key = self._draw, f"{self._name}/{number}"
        length = draw.choice([draw.randint(1, LONGEST), BLOCK, 4 * BLOCK, LONGEST])
        prompt = draw.choice(self._texts)[:length]
        params = sampled(draw.randint(1, 24), draw.randint(0, 3), draw.choice([1, 1, 2, 3]), False)
        if draw.random() < 0.3:
            params = replace(params, beam=BeamSearch(draw.choice([0.0, 1.0, 2.0])))
        if draw.random() < 0.4:
            engine = draw.choice([self._prefills, self._decodes])
            self._until_the_end(engine, generate(key, prompt, params))
        else:
            self._hand_over(prefill(key, prompt, params))

    def _until_the_end(self, engine: Engine, work: Work) -> None:
        log = EventLog()
        engine.submit(work, log)
        if self._draw.random() < 0.2:
            engine.abort(work.key)
        else:
            assert log.wait_for_end() == WorkDone()
        _check(work, log, engine)

    def _hand_over(self, work: Work) -> None:
        with ExitStack() as stack:
            reservation = self._decodes.blocks.reserve(-(-len(work.prompt) // BLOCK))
            if reservation is None:
                return
            stack.callback(reservation.cancel)
            log = EventLog()
            self._prefills.submit(work, log)
            log.wait_for(lambda _: bool(log.lent()))
            lent = log.lent()
            stack.callback(self._prefills.blocks.release, lent)
            if self._draw.random() < 0.1:
                self._prefills.abort(work.key)
                return
            blocks = self._decodes.blocks.allocate(len(lent), reservation)
            assert blocks is not None
            for source, target in zip(self._as_computed(work, log, lent), blocks, strict=True):
                _copy(self._prefills, source, self._decodes, target)
            assert log.wait_for_end() == WorkDone()
            _check(work, log, self._prefills)
        self.num_handed_over += 1
        first = log.records()
        written = decode(f"{work.key}/decode", work.prompt, blocks, first, work.params)
        self._until_the_end(self._decodes, written)

    def _as_computed(self, work: Work, log: EventLog, lent: tuple[int, ...]) -> Iterator[int]:
        """The lent blocks, each as soon as its bytes are final."""
        for index, block in enumerate(lent):
            _wait_until_computed(log, min((index + 1) * BLOCK, len(work.prompt)))
            yield block


def _wait_until_computed(log: EventLog, num_tokens: int) -> None:
    def computed(events: list[EngineEvent]) -> bool:
        return any(isinstance(e, ChunkComputed) and e.num_tokens >= num_tokens for e in events)

    log.wait_for(computed)


def _copy(source: Engine, block: int, target: Engine, to: int) -> None:
    size = source.pool.block_bytes
    copied = source.pool.view[block * size : (block + 1) * size]
    target.pool.view[to * size : (to + 1) * size] = copied


def _check(work: Work, log: EventLog, engine: Engine) -> None:
    """What was drawn, all of it or a beginning if the work was aborted."""
    over = any(isinstance(event, WorkDone) for event in log.events)
    told = 0 if work.params.beam else 1  # tokens of each choice that prefill draws
    for choice, answer in enumerate(_answers(work, engine)):
        expected = answer[:told] if work.mode is Mode.PREFILL else answer
        if work.mode is Mode.DECODE:
            expected = answer[told:]
        drawn = log.records(choice)
        assert drawn == (expected if over else expected[: len(drawn)])


def _answers(work: Work, engine: Engine) -> tuple[Answer, ...]:
    if work.params.beam is None:
        return hash_answer(HASH_MODEL, work.prompt, work.params)
    longest = engine._limits.search_len(len(work.prompt), work.params)
    return hash_beams(HASH_MODEL, work.prompt, work.params, longest)


def run_clients(seed: int, num_requests: int, num_slots: int = 0) -> tuple[int, int, int]:
    """Returns how many prompts were handed over, how many tokens were found in a cache and how many
    blocks came back from host memory.
    """
    logging.getLogger(__name__).warning("seed %d", seed)  # shown if it fails
    failures: list[BaseException] = []

    def run(client: Client) -> None:
        try:
            for number in range(num_requests):
                client.ask(number)
        except BaseException as failure:  # a thread's own end would go unseen
            failures.append(failure)

    config = engine_config(14, max_num_seqs=3, max_num_batched_tokens=40, num_slots=num_slots)
    with running_engine(config) as prefills, running_engine(config) as decodes:
        clients = [Client(name, seed, prefills, decodes) for name in range(NUM_CLIENTS)]
        threads = [threading.Thread(target=run, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        loads = prefills.load(), decodes.load()
    hits = sum(load.cache_hits for load in loads)
    brought = sum(load.host.hits for load in loads)
    return sum(client.num_handed_over for client in clients), hits, brought


def test_clients_on_threads_get_the_oracles_answers() -> None:
    handed_over, hits, brought = run_clients(random.SystemRandom().randrange(1 << 32), 12)

    assert handed_over
    assert hits
    assert not brought


def test_so_they_do_where_blocks_come_and_go_between_pool_and_host_memory() -> None:
    handed_over, hits, brought = run_clients(random.SystemRandom().randrange(1 << 32), 12, 30)

    assert handed_over
    assert hits
    assert brought


@pytest.mark.long
@pytest.mark.timeout(900)
def test_clients_on_threads_for_long() -> None:
    for seed in range(20):
        run_clients(seed, 200, num_slots=[0, 10, 60][seed % 3])
