"""With --batch-invariant a request has the same bits, however it is computed; or there is no worker."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baton.core.errors import SettingsError
from baton.core.sampling_params import LogprobsMode, SamplingParams
from baton.core.token_record import TokenRecord
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.build import build_engine
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.kernel_build import KernelError
from baton.engine.loading import invariance_check
from baton.engine.loading.checkpoint import load_checkpoint
from baton.engine.loading.invariance_check import check_batch_invariance
from baton.engine.runners import torch_runner
from baton.engine.runners.numeric_class import check_parts
from baton.engine.runners.torch_runner import TorchRunner, load_torch_runner
from baton.engine.scheduling.drafter import Drafter
from baton.engine.work import Mode, PromptScored, Work, WorkDone
from tests.support.engine_events import EventLog
from tests.support.engine_running import running_engine
from tests.support.models import VOCAB, make
from tests.support.oracle import copy_blocks
from tests.support.programs import needed

LENGTH = 20  # tokens of an answer
GREEDY = SamplingParams(LENGTH, seed=0, temperature=0.0, logprobs=5, ignore_eos=True)
WARM = replace(GREEDY, seed=7, temperature=1.3)
PARAMS = (
    GREEDY,
    WARM,
    replace(WARM, top_p=0.9, top_k=50, logprobs_mode=LogprobsMode.PROCESSED_LOGPROBS),
    replace(WARM, n=2, min_p=0.01),
    replace(GREEDY, prompt_logprobs=2),
    replace(WARM, repetition_penalty=1.2, frequency_penalty=0.3),
)
PROMPTS = [
    tuple(torch.randint(VOCAB, (length,), generator=torch.Generator().manual_seed(length)).tolist())
    for length in (9, 70, 33, 50, 61, 100)
]
# All that was told of a work: records by choice, and the prompt's scores.
Told = tuple[tuple[TokenRecord, ...], tuple[object, ...]]


@pytest.fixture(scope="module", params=["Llama float32", "Gemma2 bfloat16", "Qwen3 bfloat16"])
def runners(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[TorchRunner]:
    """Two workers' of one model, on one thread and on two."""
    needed("g++", "g++")
    family, dtype = request.param.split()
    folder = str(make(family, tmp_path_factory.mktemp("invariant") / family))
    return [
        load_torch_runner(folder, EngineConfig(dtype=dtype, threads=threads, batch_invariant=True))
        for threads in (1, 2)
    ]


def sizes(budget: int, kv_bytes: int = 8 << 20, caching: bool = True) -> EngineConfig:
    """`budget` tokens in one step."""
    return EngineConfig(
        kv_cache_memory_bytes=kv_bytes,
        max_num_seqs=8,
        max_num_batched_tokens=budget,
        enable_prefix_caching=caching,
    )


@pytest.fixture(scope="module")
def alone(runners: list[TorchRunner]) -> list[Told]:
    """What is told of each work by itself, its prompt read whole."""
    with running_engine(sizes(1024), runners[0]) as engine:
        return [told([submitted(engine, work)]) for work in works()]


def works(mode: Mode = Mode.GENERATE) -> list[Work]:
    return [
        Work(str(number), prompt, params, mode)
        for number, (prompt, params) in enumerate(zip(PROMPTS, PARAMS, strict=True))
    ]


def submitted(engine: Engine, work: Work) -> EventLog:
    log = EventLog()
    engine.submit(work, log)
    log.wait_for(lambda events: bool(events))
    return log


def told(logs: Sequence[EventLog], first: int = 0) -> Told:
    """Of one work, whose parts `logs` are; without what stands before the `first` position."""
    assert all(log.wait_for_end() == WorkDone() for log in logs)
    records = [record for log in logs for record in log.records() if record.position >= first]
    records.sort(key=lambda record: (record.choice, record.position))
    scores = [
        event.scores for log in logs for event in log.events if isinstance(event, PromptScored)
    ]
    return tuple(records), tuple(score for part in scores for score in part.entries)


def together(engine: Engine) -> list[Told]:
    logs = [EventLog() for _ in PROMPTS]
    for work, log in zip(works(), logs, strict=True):
        engine.submit(work, log)
    return [told([log]) for log in logs]


@pytest.mark.parametrize("budget", [24, 48, 1024])
def test_in_company_and_in_chunks(
    runners: list[TorchRunner], alone: list[Told], budget: int
) -> None:
    with running_engine(sizes(budget), runners[1]) as engine:
        assert together(engine) == alone
        assert together(engine) == alone  # from the cache, where there is one


def test_after_preemption(
    runners: list[TorchRunner], alone: list[Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What decode wrote token by token is read again in chunks."""
    preempted: Counter[str] = Counter()
    plain = Drafter._preempt
    monkeypatch.setattr(
        Drafter, "_preempt", lambda *args: (preempted.update([args[-1].key]), plain(*args))[1]
    )
    size = 10 * runners[0].layout.block_bytes
    with running_engine(sizes(64, size, caching=False), runners[1]) as engine:
        assert together(engine) == alone
    assert preempted


def test_over_a_hand_off(runners: list[TorchRunner], alone: list[Told]) -> None:
    with (
        running_engine(sizes(32), runners[0]) as sender,
        running_engine(sizes(32), runners[1]) as receiver,
    ):
        pairs = []
        reading = [submitted(sender, work) for work in works(Mode.PREFILL)]
        for work, read in zip(works(Mode.DECODE), reading, strict=True):
            assert read.wait_for_end() == WorkDone()
            blocks = copy_blocks(sender, receiver, read.lent())
            sender.blocks.release(read.lent())
            adopted = replace(work, blocks=blocks, first=read.records())
            pairs.append([read, submitted(receiver, adopted)])
        assert [told(pair) for pair in pairs] == alone


def test_continued_from_any_token(runners: list[TorchRunner], alone: list[Told]) -> None:
    """As a failover does it: what was told is read elsewhere, in chunks."""
    with running_engine(sizes(48, caching=False), runners[1]) as engine:
        for cut in (1, 7, LENGTH - 1):
            parts = []
            for work, (records, _) in zip(works(), alone, strict=True):
                if work.params.n > 1:
                    continue
                answered = tuple(record.token_id for record in records[:cut])
                params = replace(work.params, prompt_logprobs=None)
                more = replace(work, answered=answered, params=params)
                parts.append((submitted(engine, more), records[cut:]))
            for log, expected in parts:
                assert told([log])[0] == expected


def test_the_class_is_in_the_fingerprint_and_nobody_without_it_is_paired(
    runners: list[TorchRunner], tmp_path: Path
) -> None:
    one, other = (runner.fingerprint for runner in runners)
    assert one == other  # the number of threads is proven not to matter
    assert torch.__version__ in one.numeric_class

    plain = replace(one, numeric_class="")
    assert "numeric_class is " in str(one.difference(plain))


def test_a_model_whose_layers_torch_computes_is_refused(tmp_path: Path) -> None:
    needed("g++", "g++")
    folder = str(make("Phi", tmp_path / "phi"))
    with pytest.raises(SettingsError, match=r"decoder layer 0 \(PhiDecoderLayer\) is computed by"):
        load_torch_runner(folder, EngineConfig(batch_invariant=True))


def test_a_part_beside_the_layers_that_torch_computes_is_named(llama: Path) -> None:
    needed("g++", "g++")
    checkpoint = load_checkpoint(str(llama), "float32")
    head = checkpoint.model.lm_head
    torch_runner.replace_modules(checkpoint)
    check_parts(checkpoint.model)

    checkpoint.model.lm_head = head
    with pytest.raises(SettingsError, match=r"lm_head \(Linear\) is computed by torch"):
        check_parts(checkpoint.model)


def test_without_kernels_there_is_no_such_worker(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KernelError("there is no C++ compiler")

    monkeypatch.setattr("baton.engine.runners.numeric_class.load_kernels", fail)
    with pytest.raises(SettingsError, match=r"--batch-invariant needs the C\+\+ kernels: there is"):
        load_torch_runner(str(llama), EngineConfig(batch_invariant=True))


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_another_attention_backend_is_refused(llama: Path, backend: str) -> None:
    config = EngineConfig(batch_invariant=True, attention_backend=backend)
    with pytest.raises(SettingsError, match=f"--attention-backend {backend}"):
        build_engine(str(llama), config)


def test_a_model_in_plain_torch_does_not_pass_the_check(llama: Path) -> None:
    checkpoint = load_checkpoint(str(llama), "float32")
    with pytest.raises(SettingsError, match=r"cannot be promised: the logits .* first at position"):
        check_batch_invariance(checkpoint.model, checkpoint.kv_shape, TorchReference, 1)


def test_a_sampler_that_looks_at_its_neighbours_does_not_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = invariance_check._drawn

    def by_place(logits: torch.Tensor, draws: Sequence[object]) -> list[object]:
        return plain(logits * (1 + len(draws) * 2**-20), draws)  # type: ignore[arg-type, return-value]

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 100, generator=generator)
    invariance_check._check_drawing(logits)
    monkeypatch.setattr(invariance_check, "_drawn", by_place)
    with pytest.raises(SettingsError, match="drawn in a batch differs"):
        invariance_check._check_drawing(logits)
