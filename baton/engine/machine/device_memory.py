"""How much of a device's memory the KV pool may take: arithmetic, and the step that it is read off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from baton.core.errors import SettingsError
from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Draw, Slice, StepPlan


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """Bytes of one device, as they were found out."""

    total: int
    free_at_start: int  # before this process had anything there
    free_after: int  # with the weights, and behind a worst step that has given its memory back
    held: int  # by torch, at that moment
    peak: int  # most that torch had in use at once, weights included
    graphs: int  # that CUDA graphs will need beside it

    @property
    def outside(self) -> int:
        """What this process has there beside torch's own: the context, libraries, loaded kernels."""
        return max(0, self.free_at_start - self.free_after - self.held)


def kv_cache_bytes(use: DeviceUse, utilization: float, block_bytes: int) -> int:
    """The share of the device that is this worker's, less what all else of it takes at its worst.

    Raises SettingsError where others have taken that share, or where nothing is left of it.
    """
    share = int(use.total * utilization)
    if share > use.free_at_start:
        raise SettingsError(
            f"--gpu-memory-utilization {utilization:g} asks for {_gib(share)} of the device, and only "
            f"{_gib(use.free_at_start)} of its {_gib(use.total)} are free: lower it, or end what else "
            "runs there (each worker on a device needs a share of its own)"
        )
    left = share - use.outside - use.peak - use.graphs - block_bytes  # one block is nobody's
    if left < block_bytes:
        raise SettingsError(
            f"nothing of the device is left for the KV pool: of {_gib(share)} "
            f"(--gpu-memory-utilization {utilization:g}) the weights and one step of "
            f"--max-num-batched-tokens take {_gib(use.peak)}, CUDA {_gib(use.outside)} and its graphs "
            f"{_gib(use.graphs)}; raise --gpu-memory-utilization, lower --max-num-batched-tokens or "
            "--max-num-seqs, take --enforce-eager or a smaller model"
        )
    return left


def worst_plan(tokens: int, sequences: int, longest: int, block_size: int) -> StepPlan:
    """A step of as many tokens and draws as there can be, each slice from the beginning of a sequence,
    in blocks from 0 on.
    """
    slices: list[Slice] = []
    count = min(tokens, sequences)
    spare, block = tokens - count, 0
    params = SamplingParams(1, 0, temperature=1.0, top_p=0.9)
    for _ in range(count):
        length = 1 + min(spare, longest - 1)
        blocks = -(-length // block_size)
        draw = Draw(0, length, params)
        slices.append(Slice((0,) * length, 0, tuple(range(block, block + blocks)), (draw,)))
        spare, block = spare - length + 1, block + blocks
    return StepPlan(tuple(slices))


class Meter(Protocol):
    """What a device says of its memory, bytes."""

    def total(self) -> int: ...

    def free(self) -> int:
        """Torch's own reserve counts as taken, unless it was given back."""
        ...

    def held(self) -> int: ...

    def peak_of(self, work: Callable[[], None]) -> int:
        """Most that torch had in use at once while `work` was done; then it gives back its reserve."""
        ...

    def in_use(self) -> int: ...


def measured(
    meter: Meter,
    free_at_start: int,
    worst: Callable[[], None],
    decode: Callable[[], None],
    trial_bytes: int,
    *,
    graphs: bool,
) -> DeviceUse:
    """`worst` computes the largest step, `decode` the largest of those that become graphs, both over
    a trial pool of `trial_bytes`, which counts for nothing here.
    """
    idle = meter.in_use()
    peak = meter.peak_of(worst)
    beside = meter.peak_of(decode) - idle if graphs else 0
    return DeviceUse(
        total=meter.total(),
        free_at_start=free_at_start,
        free_after=meter.free(),
        held=meter.held(),
        peak=peak - trial_bytes,
        graphs=beside,
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
