"""Greedy tokens of prompts with images equal Hugging Face's `generate` in float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from baton.core.errors import InternalError, UnavailableError
from baton.core.sampling_params import SamplingParams
from baton.engine.build import build_engine
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.work import Mode, Work, WorkDone, WorkFailed
from tests.support.engine_events import EventLog
from tests.support.hugging_face import Answer
from tests.support.images import (
    ImageOracle,
    ImagePrompt,
    Piece,
    check_equal,
    image_file,
    prompt_with,
)
from tests.support.models import make_vision
from tests.support.oracle import cached_of, copy_blocks

COUNT = 12
GREEDY = SamplingParams(COUNT, seed=0, temperature=0.0, ignore_eos=True)
SHAPES: dict[str, list[Piece]] = {
    "one image": [30, image_file(40, 24, 1), 9],
    "an image first": [image_file(64, 33, 2), 20],
    "several": [5, image_file(60, 60, 3), image_file(8, 50, 4), 3],
    "interleaved": [
        40,
        image_file(48, 40, 5),
        17,
        image_file(33, 64, 6),
        40,
        image_file(9, 9, 7),
        8,
    ],
    "text alone": [50],
}


@dataclass(frozen=True, slots=True)
class Case:
    folder: Path
    oracle: ImageOracle
    prompts: list[ImagePrompt]
    answers: list[Answer]


@pytest.fixture(scope="module", params=["Qwen2VL", "Qwen2_5_VL"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = make_vision(request.param, tmp_path_factory.mktemp("models") / request.param)
    oracle = ImageOracle(folder)
    prompts = [prompt_with(oracle.rules, pieces) for pieces in SHAPES.values()]
    return Case(folder, oracle, prompts, [oracle.answer(prompt, COUNT) for prompt in prompts])


@contextmanager
def engine_for(case: Case, budget: int = 48, kv_bytes: int = 16 << 20) -> Iterator[Engine]:
    config = EngineConfig(
        kv_cache_memory_bytes=kv_bytes, max_num_seqs=8, max_num_batched_tokens=budget
    )
    engine = build_engine(str(case.folder), config)
    engine.start()
    try:
        yield engine
        engine.stop()
        engine.blocks.check_integrity()
        assert engine.blocks.free == engine.blocks.total
    finally:
        engine.close()


def work_of(engine: Engine, key: str, prompt: ImagePrompt, mode: Mode = Mode.GENERATE) -> Work:
    assert engine.images is not None
    seen = tuple(map(engine.images.encode, prompt.images))
    return Work(key, prompt.tokens, GREEDY, mode, images=prompt.spans, embeddings=seen)


def submit(
    engine: Engine, prompts: list[ImagePrompt], mode: Mode = Mode.GENERATE
) -> list[EventLog]:
    logs = [EventLog() for _ in prompts]
    for number, (prompt, log) in enumerate(zip(prompts, logs, strict=True)):
        engine.submit(work_of(engine, str(number), prompt, mode), log)
    return logs


def tokens_of(log: EventLog) -> list[int]:
    assert isinstance(log.wait_for_end(), WorkDone), log.events[-1]
    return [record.token_id for record in log.records()]


def test_together_in_chunks_that_cut_images_and_again_from_the_cache(case: Case) -> None:
    with engine_for(case) as engine:
        check_equal(case.answers, list(map(tokens_of, submit(engine, case.prompts))))
        again = submit(engine, case.prompts)
        check_equal(case.answers, list(map(tokens_of, again)))
        for prompt, log in zip(case.prompts, again, strict=True):
            assert cached_of(log) == (len(prompt.tokens) - 1) // 16 * 16


def test_read_by_one_engine_and_continued_by_another_that_sees_no_image(case: Case) -> None:
    with engine_for(case) as sender, engine_for(case) as receiver:
        read = submit(sender, case.prompts, Mode.PREFILL)
        written = [EventLog() for _ in case.prompts]
        for number, (prompt, log) in enumerate(zip(case.prompts, read, strict=True)):
            assert isinstance(log.wait_for_end(), WorkDone)
            blocks = copy_blocks(sender, receiver, log.lent())
            sender.blocks.release(log.lent())
            work = Work(
                *(str(number), prompt.tokens, GREEDY, Mode.DECODE),
                *(blocks, log.records()),
                images=prompt.spans,
            )
            receiver.submit(work, written[number])
        ours = [
            [record.token_id for record in first.records()] + tokens_of(rest)
            for first, rest in zip(read, written, strict=True)
        ]
    check_equal(case.answers, ours)


def test_an_answer_that_is_continued_elsewhere_goes_on_as_it_would_have(case: Case) -> None:
    prompt, answer = case.prompts[3], case.answers[3].tokens
    with engine_for(case) as engine:
        work = replace(work_of(engine, "again", prompt), answered=tuple(answer[:5]))
        log = EventLog()
        engine.submit(work, log)
        assert tuple(tokens_of(log)) == answer[5:]


def test_images_of_equal_size_and_other_content_share_no_block_of_theirs(case: Case) -> None:
    one, other = (
        prompt_with(case.oracle.rules, [36, image_file(64, 64, seed), 2]) for seed in (20, 21)
    )
    assert one.tokens == other.tokens
    with engine_for(case) as engine:
        names = [engine.prefix_names(work_of(engine, "w", prompt)) for prompt in (one, other)]
        assert names[0][:2] == names[1][:2]  # text before the image
        assert not set(names[0][2:]) & set(names[1][2:])
        logs: list[EventLog] = []
        found: list[list[int]] = []
        for prompt in (one, other):
            logs += submit(engine, [prompt])
            found.append(tokens_of(logs[-1]))
    check_equal([case.oracle.answer(prompt, COUNT) for prompt in (one, other)], found)
    assert found[0] != found[1]
    assert cached_of(logs[1]) <= 32


def test_prompts_that_are_scored_have_the_scores_of_their_images(case: Case) -> None:
    """The layers run once for all parts of the logits, images among them."""
    prompt, answer = case.prompts[1], case.answers[1].tokens
    scored = replace(GREEDY, prompt_logprobs=0)
    with engine_for(case, budget=272) as engine:
        log = EventLog()
        engine.submit(replace(work_of(engine, "scored", prompt), params=scored), log)
        assert tuple(tokens_of(log)) == answer


def test_a_decode_whose_blocks_are_gone_says_that_it_has_no_image(case: Case) -> None:
    prompt = case.prompts[0]
    with engine_for(case) as engine:
        log = EventLog()
        engine.submit(replace(work_of(engine, "blind", prompt), embeddings=()), log)
        failed = log.wait_for_end()
    assert isinstance(failed, WorkFailed)
    assert isinstance(failed.error, UnavailableError)


def test_images_that_overlap_are_our_own_fault(case: Case) -> None:
    prompt = case.prompts[0]
    with engine_for(case) as engine:
        work = work_of(engine, "bad", prompt)
        twice = replace(work, images=work.images * 2, embeddings=work.embeddings * 2)
        with pytest.raises(InternalError, match="overlap"):
            engine.submit(twice, EventLog())
