"""The demo model as it is shipped, asked through the engine what it was never taught."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from baton.cluster.demo_model import FOLDER
from baton.core.sampling_params import GREEDY_BELOW, SamplingParams
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.runners.torch_runner import load_torch_runner
from baton.engine.work import WorkDone
from demo_model.composer import dialogues_of
from demo_model.encode import Encoder
from demo_model.examine import SKILLS
from demo_model.exchange import Dialogue
from gateway.params.generation_config import load_defaults
from gateway.prompts.tokenizer import load_tokenizer
from tests.support.engine_events import EventLog
from tests.support.engine_running import running_engine
from tests.support.engine_works import generate
from tests.support.oracle import say

# Asked of each skill, and the share that must be right.
FEW, MANY = (24, 0.9), (100, 0.95)
LONGEST = 256  # tokens of an answer, its thoughts included
PATIENCE = 280.0  # seconds, for all that is asked before it too
MIB = 1 << 20

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    loaded = PreTrainedTokenizerFast.from_pretrained(FOLDER)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    return loaded


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    config = EngineConfig(kv_cache_memory_bytes=64 * MIB)
    with running_engine(config, load_torch_runner(str(FOLDER), config)) as running:
        yield running


@pytest.mark.parametrize(("count", "wanted"), [FEW, pytest.param(*MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("skill", SKILLS)
def test_nearly_all_that_is_asked_is_answered_right(
    skill: str,
    count: int,
    wanted: float,
    engine: Engine,
    tokenizer: PreTrainedTokenizerFast,
    request: pytest.FixtureRequest,
) -> None:
    asked = dialogues_of(skill, count, seed=0)
    wrong = [
        f"{made.messages[-1]['content']!r} -> {said!r}, not {made.answer!r}"
        for made, said in zip(asked, answers(engine, tokenizer, asked), strict=True)
        if not is_right(made, said)
    ]
    right = len(asked) - len(wrong)
    say(request, f"{skill}: {right} of {len(asked)}")
    assert len(asked) >= count / 2
    assert right >= wanted * len(asked), "\n".join(wrong)


def is_right(made: Dialogue, said: str) -> bool:
    """Word by word; where JSON was asked for without naming keys, one key more or less is right."""
    if said == made.answer:
        return True
    text = str([message["content"] for message in made.messages])
    if made.skill != "JSON" or " key" in text or '"properties"' in text:
        return False
    theirs, ours = json.loads(said), json.loads(made.answer)
    if not isinstance(ours, dict):
        return False
    shared = ours.keys() & theirs.keys()
    return len(shared) >= 2 and all(ours[key] == theirs[key] for key in shared)


def answers(engine: Engine, tokenizer: PreTrainedTokenizerFast, asked: list[Dialogue]) -> list[str]:
    """Greedily, all at once, thoughts cut off."""
    encoder = Encoder(tokenizer)
    params = SamplingParams(LONGEST, seed=0, temperature=0.0)
    logs = [EventLog() for _ in asked]
    for index, (made, log) in enumerate(zip(asked, logs, strict=True)):
        engine.submit(generate(str(index), encoder.prompt_ids_of(made), params), log)
    return [answer_of(tokenizer, log) for log in logs]


def answer_of(tokenizer: PreTrainedTokenizerFast, log: EventLog) -> str:
    assert isinstance(log.wait_for_end(PATIENCE), WorkDone), log.events[-1]
    ids = [record.token_id for record in log.records()]
    text = str(tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=True))
    return text.rpartition("</think>\n\n")[2]


def test_it_is_small_and_plain() -> None:
    assert Path(FOLDER, "model.safetensors").stat().st_size <= 8_000_000
    config = json.loads(Path(FOLDER, "config.json").read_text("utf-8"))
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert {file.name for file in FOLDER.iterdir()} == {
        "MODEL_CARD.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_by_default_the_likeliest_token_is_taken() -> None:
    assert load_defaults(FOLDER).temperature < GREEDY_BELOW


def test_digits_are_tokens_and_markup_is_text_of_one_token() -> None:
    loaded = load_tokenizer(FOLDER)
    backend = PreTrainedTokenizerFast.from_pretrained(FOLDER).backend_tokenizer
    assert len(backend.encode("2026", add_special_tokens=False).ids) == 4
    for mark in ("<think>", "</think>", "<tool_call>", "</tool_call>"):
        (token,) = backend.encode(mark, add_special_tokens=False).ids
        assert loaded.vocabulary.bytes_of(token) == mark.encode()
    (end,) = backend.encode("<|im_end|>", add_special_tokens=False).ids
    assert loaded.vocabulary.bytes_of(end) == b""


@pytest.mark.parametrize("text", ["Grüß Gott", "日本語 😀", "a\n\n\tb  c", "x" * 99, "\x00\x7f"])
def test_any_text_survives_its_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    backend = tokenizer.backend_tokenizer
    ids = backend.encode(text, add_special_tokens=False).ids
    assert backend.decode(ids) == text
