"""What an engine refuses at the door and at the start."""

from dataclasses import replace

import pytest

from baton.core.errors import InternalError, RequestError, SettingsError
from baton.core.sampling_params import BeamSearch
from baton.core.token_record import TokenRecord
from baton.engine.config import EngineConfig
from baton.engine.limits import Limits, check_work, limits_for, num_blocks_for, num_slots_for
from baton.engine.work import Work
from tests.support.engine_hash_model import HASH_MODEL, hash_runner
from tests.support.engine_works import GREEDY, decode, generate, prefill, prompt_of

LIMITS = Limits(
    block_size=16,
    max_num_seqs=4,
    max_num_batched_tokens=64,
    max_mixed_prompt_tokens=64,
    max_model_len=64,
    vocab_size=97,
    eos_token_ids=frozenset({7}),
    num_blocks=4,
)
FIRST = TokenRecord(0, 20, 3)


def test_a_search_is_as_long_as_beams_fit_that_share_only_the_prompts_full_blocks() -> None:
    roomy = replace(LIMITS, num_blocks=9, max_model_len=100)
    params = replace(GREEDY, max_tokens=1000, beam=BeamSearch())
    assert roomy.search_len(20, params) == 100
    assert roomy.search_len(20, replace(params, max_tokens=3)) == 23
    assert roomy.search_len(20, replace(params, n=2)) == (1 + 8 // 2) * 16
    assert roomy.search_len(20, replace(params, n=4)) == (1 + 8 // 4) * 16
    assert roomy.search_len(60, replace(params, n=8)) == 61, "one token is had without a fork"


@pytest.mark.parametrize("make", [generate, prefill])
def test_a_prompt_that_leaves_no_room_for_an_answer_is_refused(make: object) -> None:
    assert callable(make)
    check_work(make("a", prompt_of(63)), LIMITS)
    with pytest.raises(RequestError, match="64 tokens"):
        check_work(make("a", prompt_of(64)), LIMITS)


@pytest.mark.parametrize(
    ("work", "param"),
    [
        (generate("a", ()), "prompt"),
        (generate("a", (1, 97)), "prompt"),
        (generate("a", (1, -1)), "prompt"),
        (generate("a", (1,), replace(GREEDY, max_tokens=0)), "max_tokens"),
        (generate("a", (1,), replace(GREEDY, n=0)), "n"),
        (generate("a", (1,), replace(GREEDY, n=5, beam=BeamSearch())), "n"),
    ],
)
def test_what_can_never_be_served_names_its_field(work: Work, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_work(work, LIMITS)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "work",
    [
        replace(generate("a", prompt_of(20)), blocks=(1, 2)),
        replace(prefill("a", prompt_of(20)), first=(FIRST,)),
        decode("a", prompt_of(20), (1,), (FIRST,)),
        decode("a", prompt_of(20), (1, 2), ()),
        decode("a", prompt_of(20), (1, 2), (FIRST, replace(FIRST, choice=1))),
        decode("a", prompt_of(20), (1, 2), (replace(FIRST, position=19),)),
        decode("a", prompt_of(20), (1, 2), (FIRST,), replace(GREEDY, beam=BeamSearch())),
    ],
)
def test_a_work_that_contradicts_itself_is_a_defect(work: Work) -> None:
    with pytest.raises(InternalError):
        check_work(work, LIMITS)


def test_a_decode_with_blocks_and_one_record_per_choice_is_accepted() -> None:
    two = (replace(FIRST, choice=1), FIRST)
    check_work(decode("a", prompt_of(20), (1, 2), two, replace(GREEDY, n=2)), LIMITS)


def test_the_length_is_what_the_pool_holds_when_that_is_less_than_the_models() -> None:
    runner = hash_runner()
    assert limits_for(EngineConfig(), runner, 10).max_model_len == 160
    assert limits_for(EngineConfig(), runner, 10_000).max_model_len == 4096
    assert limits_for(EngineConfig(max_model_len=100), runner, 10).max_model_len == 100


@pytest.mark.parametrize(
    ("config", "flag"),
    [
        (EngineConfig(block_size=8), "--block-size"),
        (EngineConfig(block_size=24), "--block-size"),
        (EngineConfig(max_num_seqs=0), "--max-num-seqs"),
        (EngineConfig(max_num_seqs=64, max_num_batched_tokens=79), "--max-num-batched-tokens"),
        (EngineConfig(max_mixed_prompt_tokens=15), "--max-mixed-prompt-tokens"),
        (EngineConfig(max_model_len=1), "--max-model-len"),
        (EngineConfig(max_model_len=5000), "--max-model-len"),
        (EngineConfig(max_model_len=161), "--kv-cache-memory-bytes"),
    ],
)
def test_settings_that_do_not_fit_stop_the_start(config: EngineConfig, flag: str) -> None:
    with pytest.raises(SettingsError, match=flag):
        limits_for(config, hash_runner(), 10)


def test_prompts_get_more_of_a_step_only_where_it_writes_more_than_16_answers() -> None:
    limits = limits_for(EngineConfig(max_mixed_prompt_tokens=96), hash_runner(), 10)
    assert [limits.mixed_prompt_tokens(n) for n in (1, 16, 24, 32)] == [96, 96, 144, 192]


def test_host_memory_is_none_or_holds_a_block() -> None:
    layout = HASH_MODEL.layout(16)
    assert num_slots_for(EngineConfig(), layout) == 0
    config = EngineConfig(kv_offloading_bytes=2 * layout.block_bytes - 1)
    assert num_slots_for(config, layout) == 1
    with pytest.raises(SettingsError, match="--kv-offloading-size"):
        num_slots_for(replace(config, kv_offloading_bytes=1), layout)


def test_a_pool_smaller_than_a_block_stops_the_start() -> None:
    layout = HASH_MODEL.layout(16)
    config = EngineConfig(kv_cache_memory_bytes=layout.block_bytes)
    assert num_blocks_for(config, layout) == 1
    with pytest.raises(SettingsError, match="--kv-cache-memory-bytes"):
        num_blocks_for(replace(config, kv_cache_memory_bytes=layout.block_bytes - 1), layout)
