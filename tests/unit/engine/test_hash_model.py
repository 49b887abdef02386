"""The hash model: every byte it reads decides, and nothing else does."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from baton.core.errors import InternalError, RequestError, SettingsError
from baton.core.sampling_params import Grammar, SamplingParams
from baton.core.token_record import FinishReason
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.build import build_engine
from baton.engine.config import EngineConfig
from baton.engine.plan import Draw, Slice, SliceResult, StepPlan
from baton.engine.runners.hash_model import HashRunner, kv_entry, load_hash_runner
from tests.support.engine_hash_model import HASH_MODEL, hash_runner, write_hash_model
from tests.support.engine_works import GREEDY, prompt_of, sampled
from tests.support.hash_answer import hash_answer

PROMPT = prompt_of(40)
BLOCKS = (5, 1, 3)


def drawn(pool: KvPool, tokens: tuple[int, ...], start: int, params: SamplingParams) -> int:
    runner = hash_runner()
    runner.attach(pool)
    end = start + len(tokens)
    piece = Slice(tokens, start, BLOCKS, (Draw(0, end, params),))
    return only(runner, piece)


def only(runner: HashRunner, piece: Slice) -> int:
    [result] = runner.run(StepPlan((piece,)))
    assert isinstance(result, SliceResult)
    [drawn] = result.drawn
    return drawn.token_id


@pytest.mark.parametrize("params", [GREEDY, sampled(1)])
def test_what_it_draws_is_what_the_oracle_works_out(params: SamplingParams) -> None:
    with KvPool(hash_runner().layout, 6) as pool:
        token = drawn(pool, PROMPT, 0, params)
    assert token == hash_answer(HASH_MODEL, PROMPT, params)[0][0].token_id


def test_chunks_and_block_tables_do_not_matter() -> None:
    with KvPool(hash_runner().layout, 6) as pool:
        runner = hash_runner()
        runner.attach(pool)
        runner.run(StepPlan((Slice(PROMPT[:23], 0, BLOCKS, ()),)))
        token = drawn(pool, PROMPT[23:], 23, GREEDY)
    assert token == hash_answer(HASH_MODEL, PROMPT, GREEDY)[0][0].token_id


def test_every_byte_of_earlier_positions_decides() -> None:
    layout = hash_runner().layout
    big = replace(HASH_MODEL, vocab_size=1 << 62)  # so that unequal hashes give unequal tokens
    runner = hash_runner(big)
    piece = Slice(PROMPT[-1:], len(PROMPT) - 1, BLOCKS, (Draw(0, len(PROMPT), GREEDY),))
    with KvPool(layout, 6) as pool:
        runner.attach(pool)
        runner.run(StepPlan((Slice(PROMPT, 0, BLOCKS, ()),)))
        right = only(runner, piece)
        for at in range(5 * layout.block_bytes, 6 * layout.block_bytes):
            pool.view[at] ^= 1
            assert only(runner, piece) != right, at
            pool.view[at] ^= 1
        assert only(runner, piece) == right


def test_bytes_behind_the_last_position_do_not_decide() -> None:
    with KvPool(hash_runner().layout, 6) as pool:
        pool.view[: pool.canary_offset] = b"\xff" * pool.canary_offset
        assert (
            drawn(pool, PROMPT, 0, GREEDY) == hash_answer(HASH_MODEL, PROMPT, GREEDY)[0][0].token_id
        )


def test_entries_longer_than_one_hash_do_not_repeat() -> None:
    wide = replace(HASH_MODEL, head_dim=64)
    entry = kv_entry(wide, 1, 2)
    rows = [entry[at : at + 64] for at in range(0, len(entry), 64)]
    assert len(set(rows)) == len(rows) == wide.num_rows


def test_choice_i_of_a_seed_is_choice_0_of_the_seed_i_further() -> None:
    three = hash_answer(HASH_MODEL, PROMPT, sampled(20, seed=5, n=3))
    alone = hash_answer(HASH_MODEL, PROMPT, sampled(20, seed=7))
    assert [r.token_id for r in three[2]] == [r.token_id for r in alone[0]]
    assert len({tuple(r.token_id for r in answer) for answer in three}) == 3


def test_the_oracle_ends_with_the_end_of_sequence_token_before_the_length() -> None:
    first = hash_answer(HASH_MODEL, PROMPT, GREEDY)[0][0].token_id
    ending = replace(HASH_MODEL, eos_token_id=first)
    params = replace(GREEDY, max_tokens=1)
    assert hash_answer(ending, PROMPT, params)[0][0].finish_reason is FinishReason.STOP
    assert hash_answer(HASH_MODEL, PROMPT, params)[0][0].finish_reason is FinishReason.LENGTH
    [answer] = hash_answer(ending, PROMPT, replace(GREEDY, ignore_eos=True))
    assert [r.finish_reason for r in answer] == [None] * 7 + [FinishReason.LENGTH]


def test_a_runner_without_memory_says_so() -> None:
    with pytest.raises(InternalError):
        hash_runner().run(StepPlan((Slice((1,), 0, (0,), ()),)))


def test_a_folder_makes_the_same_fingerprint_on_every_worker(tmp_path: Path) -> None:
    folder = write_hash_model(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}")
    one, two = (load_hash_runner(folder, EngineConfig()).fingerprint for _ in range(2))
    assert one == two
    assert one.model_digest == hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    assert one.tokenizer_digest == hashlib.sha256(b"{}").hexdigest()
    assert one.layout.block_bytes == 16 * 2 * 2 * 2 * 4


def test_bytes_are_the_same_anywhere_but_only_workers_that_promise_it_are_paired(
    tmp_path: Path,
) -> None:
    folder = write_hash_model(tmp_path)
    plain = load_hash_runner(folder, EngineConfig()).fingerprint
    promised = load_hash_runner(folder, EngineConfig(batch_invariant=True)).fingerprint
    assert promised.difference(plain) == "numeric_class is 'bytes' here and '' there"


def test_it_has_no_weights_to_quantise(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--quantization int8: a hash model has no weights"):
        load_hash_runner(write_hash_model(tmp_path), EngineConfig(quantization="int8"))


def test_a_folder_without_a_tokenizer_has_no_tokenizer_digest(tmp_path: Path) -> None:
    folder = write_hash_model(tmp_path)
    assert load_hash_runner(folder, EngineConfig()).fingerprint.tokenizer_digest == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab_size", None),
        ("vocab_size", 0),
        ("head_dim", "8"),
        ("model_key", 3),
        ("step_seconds", -1),
        ("eos_token_id", -1),
    ],
)
def test_a_wrong_field_of_the_model_stops_the_start(
    tmp_path: Path, field: str, value: object
) -> None:
    read = json.loads(HASH_MODEL.to_json())
    read[field] = value
    (tmp_path / "config.json").write_text(json.dumps(read))
    with pytest.raises(SettingsError, match=field):
        build_engine(str(tmp_path), EngineConfig())


def test_a_missing_field_of_the_model_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "baton_hash"}')
    with pytest.raises(SettingsError, match="lacks vocab_size"):
        build_engine(str(tmp_path), EngineConfig())


def test_a_hash_model_refuses_a_dtype(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--dtype"):
        build_engine(str(write_hash_model(tmp_path)), EngineConfig(dtype="float32"))


@pytest.mark.parametrize("text", [None, "not json", "[]"])
def test_a_folder_that_is_no_model_stops_the_start(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(SettingsError, match=r"config\.json"):
        build_engine(str(tmp_path), EngineConfig())


def test_it_refuses_a_grammar_and_says_so() -> None:
    runner = hash_runner()
    params = replace(GREEDY, grammar=Grammar('start: "a"'))
    with KvPool(runner.layout, num_blocks=8) as pool:
        runner.attach(pool)
        [result] = runner.run(StepPlan((Slice((1, 2), 0, BLOCKS, (Draw(0, 2, params),)),)))

    assert isinstance(result, RequestError)
    assert "structured output" in str(result)
