"""What is decided of a CUDA device without one: its name, its graphs, its memory, its attention."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from baton.core.errors import SettingsError
from baton.core.sampling_params import SamplingParams
from baton.engine.attention.device_choice import DeviceFacts, choose_on_device
from baton.engine.machine.device_memory import DeviceUse, kv_cache_bytes, measured, worst_plan
from baton.engine.machine.device_name import DeviceName, device_name
from baton.engine.plan import Draw, Slice, StepPlan
from baton.engine.runners.graph_sizes import (
    GraphSize,
    graph_contexts,
    graph_for,
    graph_rows,
    padded,
)

GIB = 1 << 30
USE = DeviceUse(80 * GIB, 79 * GIB, 60 * GIB, held=17 * GIB, peak=20 * GIB, graphs=GIB)
HOPPER = DeviceFacts(
    (9, 0), frozenset({"triton", "flash_attn", "flashinfer"}), "bfloat16", 128, graphs=True
)
GREEDY = SamplingParams(max_tokens=8, seed=0, temperature=0.0)


def test_a_device_is_named_as_torch_names_it() -> None:
    assert device_name("auto") == DeviceName("auto")
    assert device_name("cuda") == DeviceName("cuda")
    assert device_name("cuda:3") == DeviceName("cuda", 3)
    for wrong in ("", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "CUDA", "cuda:²"):
        with pytest.raises(SettingsError, match="--device"):
            device_name(wrong)


@pytest.mark.parametrize(
    ("most", "rows"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (16, (1, 2, 4, 8, 16))]
)
def test_graphs_double_up_to_the_largest_step(most: int, rows: tuple[int, ...]) -> None:
    assert graph_rows((), most) == rows


def test_wished_graph_sizes_are_taken_or_refused() -> None:
    assert graph_rows((8, 1, 8), 8) == (1, 8)
    for wrong in ((0,), (9,), (1, -2)):
        with pytest.raises(SettingsError, match="between 1 and --max-num-seqs"):
            graph_rows(wrong, 8)


def test_tables_quadruple_up_to_the_longest_sequence() -> None:
    assert graph_contexts(100) == (100,)
    assert graph_contexts(2048) == (2048,)
    assert graph_contexts(40_000) == (2048, 8192, 32768, 40_000)


def decoding(count: int, position: int = 9) -> StepPlan:
    draw = Draw(0, position + 1, GREEDY)
    return StepPlan(tuple(Slice((1,), position, (block,), (draw,)) for block in range(count)))


def test_a_step_takes_the_smallest_graph_that_holds_it() -> None:
    rng = random.Random(0)
    for _ in range(200):
        rows, contexts = graph_rows((), rng.randint(1, 70)), graph_contexts(rng.randint(16, 9000))
        count, position = rng.randint(1, 80), rng.randint(0, 9500)
        found = graph_for(decoding(count, position), rows, contexts)
        if count > rows[-1] or position + 1 > contexts[-1]:
            assert found is None
            continue
        assert found is not None
        assert found.rows == min(r for r in rows if r >= count)
        assert found.context == min(c for c in contexts if c > position)


def test_only_steps_of_decode_rows_alone_are_graphs() -> None:
    plan = decoding(3)
    first = plan.slices[0]
    prompt = replace(first, tokens=(1, 2))
    for odd in (prompt, replace(first, draws=()), replace(first, targets=(4,))):
        assert graph_for(replace(plan, slices=(odd, *plan.slices)), (8,), (64,)) is None
    assert graph_for(StepPlan(()), (8,), (64,)) is None
    assert graph_for(plan, (8,), (64,)) == GraphSize(8, 64)


def test_rows_that_fill_up_write_to_nobodys_block() -> None:
    plan = decoding(3)

    filled = padded(plan, 5, scratch=77)

    assert filled.slices[:3] == plan.slices
    assert filled.slices[3:] == (Slice((0,), 0, (77,), ()),) * 2


def test_the_pool_gets_what_the_share_leaves() -> None:
    assert kv_cache_bytes(USE, 0.9, 1000) == 72 * GIB - 2 * GIB - 20 * GIB - GIB - 1000
    alone = replace(USE, free_at_start=80 * GIB, free_after=63 * GIB, graphs=0)
    assert kv_cache_bytes(alone, 1.0, 1000) == 60 * GIB - 1000


def test_a_share_that_others_have_taken_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"asks for 72\.00 GiB .* only 70\.00 GiB"):
        kv_cache_bytes(replace(USE, free_at_start=70 * GIB), 0.9, 1000)


def test_a_share_that_leaves_no_block_says_what_takes_it() -> None:
    with pytest.raises(
        SettingsError, match=r"take 20\.00 GiB, CUDA 2\.00 GiB and its graphs 1\.00"
    ):
        kv_cache_bytes(USE, 0.28, 1000)
    exact = 24 * GIB - USE.peak - USE.outside - USE.graphs
    assert kv_cache_bytes(USE, 0.3, exact // 2) == exact - exact // 2
    with pytest.raises(SettingsError, match="nothing of the device is left"):
        kv_cache_bytes(USE, 0.3, exact // 2 + 1)


@pytest.mark.parametrize(
    ("tokens", "sequences", "longest"), [(100, 8, 1000), (100, 8, 13), (64, 64, 7), (5, 9, 50)]
)
def test_the_worst_step_has_all_tokens_and_draws(tokens: int, sequences: int, longest: int) -> None:
    plan = worst_plan(tokens, sequences, longest, 16)

    assert len(plan.slices) == min(tokens, sequences)
    assert plan.num_tokens == min(tokens, len(plan.slices) * longest)
    assert max(len(piece.tokens) for piece in plan.slices) <= longest
    blocks = [block for piece in plan.slices for block in piece.blocks]
    assert blocks == list(range(len(blocks)))
    assert all(len(piece.blocks) * 16 >= len(piece.tokens) for piece in plan.slices)


class FakeMeter:
    """10 in use at rest, more while `uses` is set; torch keeps 12 of 50."""

    def __init__(self) -> None:
        self.uses = 10

    def total(self) -> int:
        return 50

    def free(self) -> int:
        return 30

    def held(self) -> int:
        return 12

    def in_use(self) -> int:
        return 10

    def peak_of(self, work: Callable[[], None]) -> int:
        work()
        return self.uses


def test_a_trial_pool_counts_for_nothing() -> None:
    meter = FakeMeter()

    def worst() -> None:
        meter.uses = 35

    def decode() -> None:
        meter.uses = 14

    for graphs, beside in ((True, 4), (False, 0)):
        use = measured(meter, 48, worst, decode, 3, graphs=graphs)
        assert use == DeviceUse(50, 48, 30, held=12, peak=32, graphs=beside)
        assert use.outside == 6


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "flash_attn"),
        ({"capability": (8, 9)}, "triton"),
        ({"dtype": "float32"}, "triton"),
        ({"head_dim": 36}, "triton"),
        ({"importable": frozenset({"triton", "flashinfer"})}, "triton"),
        ({"importable": frozenset({"flashinfer"}), "graphs": False}, "flashinfer"),
    ],
)
def test_auto_takes_the_best_that_fits(changes: dict[str, object], expected: str) -> None:
    assert choose_on_device("auto", replace(HOPPER, **changes)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wish", "changes", "sentence"),
    [
        ("cpu", {}, "computes on the CPU"),
        ("torch", {}, "computes on the CPU"),
        ("triton", {"importable": frozenset()}, "triton cannot be imported .*pip install"),
        ("triton", {"capability": (7, 5)}, "need compute capability 8.0, and the device has 7.5"),
        ("triton", {"head_dim": 512}, "heads of up to 256"),
        ("flash_attn", {"importable": frozenset({"triton"})}, "flash_attn_interface cannot be"),
        ("flash_attn", {"capability": (10, 0)}, "made for compute capability 9.0"),
        ("flash_attn", {"dtype": "float32"}, "float16 and bfloat16, not float32"),
        ("flashinfer", {}, "take it with --enforce-eager"),
        ("flashinfer", {"graphs": False, "head_dim": 80}, "heads of 64, 128 and 256"),
        ("auto", {"importable": frozenset()}, "no attention backend can be had .*; triton: "),
    ],
)
def test_a_backend_that_cannot_be_had_is_refused_with_its_reason(
    wish: str, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        choose_on_device(wish, replace(HOPPER, **changes))  # type: ignore[arg-type]


def test_a_wish_that_fits_is_granted() -> None:
    assert choose_on_device("triton", HOPPER) == "triton"
    assert choose_on_device("flashinfer", replace(HOPPER, graphs=False)) == "flashinfer"
