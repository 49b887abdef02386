"""The workers of one model in a cluster that `baton up` starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from baton.core.errors import SettingsError
from baton.core.worker_info import Role
from baton.settings import settings_of
from baton.worker.settings import WorkerSettings
from gateway.models.models_file import OF_A_MODEL as OF_A_GATEWAYS_MODEL

# What a worker is told of its model, and how it computes it. The rest is for all workers of a cluster.
OF_A_MODEL = (
    *("model", "revision", "served_model_name", "dtype", "quantization", "max_model_len"),
    *("max_num_seqs", "max_num_batched_tokens", "max_mixed_prompt_tokens", "block_size"),
    *("kv_cache_memory_bytes", "kv_offloading_size", "image_cache_memory_bytes"),
    "logits_processors",
)
COUNTS = ("prefill_workers", "decode_workers", "encode_workers", "threads")

KEYS = frozenset({*OF_A_GATEWAYS_MODEL, *OF_A_MODEL, *COUNTS})  # of an entry of --models-file

_LONGEST = 64  # characters of a name in the id of a worker
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")  # for the id of a worker


@dataclass(frozen=True, slots=True)
class Pool:
    worker: WorkerSettings  # of each, with the model and the name that clients call it by
    prefill_workers: int
    decode_workers: int
    encode_workers: int = 0
    threads: int | None = None  # of each; None: the cores shared out
    prefix: str = ""  # of their ids

    @property
    def name(self) -> str:
        """What clients call the model."""
        return self.worker.shown_model

    @property
    def num_engines(self) -> int:
        """Workers that have the whole model."""
        return self.prefill_workers + self.decode_workers

    @property
    def num_workers(self) -> int:
        return self.num_engines + self.encode_workers

    def workers(self) -> list[tuple[str, Role]]:
        """Their ids and roles."""
        counts = {
            Role.PREFILL: self.prefill_workers,
            Role.DECODE: self.decode_workers,
            Role.ENCODE: self.encode_workers,
        }
        return [
            (f"{self.prefix}{role.value}-{number}", role)
            for role, count in counts.items()
            for number in range(count)
        ]


def pools_of(entries: Sequence[Mapping[str, Any]], every: WorkerSettings) -> list[Pool]:
    """Of the models of a file: nothing of what `every` worker is told of a model, all else of it."""
    pools: list[Pool] = []
    for entry in entries:
        worker = _worker_for(entry, every)
        prefix = _prefix_of(worker.shown_model)
        if any(pool.prefix == prefix for pool in pools):
            prefix = f"{prefix}{len(pools) + 1}-"
        counts: dict[str, Any] = {"prefill_workers": 1, "decode_workers": 1, "threads": None}
        counts |= {name: entry[name] for name in COUNTS if name in entry}
        pools.append(Pool(worker, prefix=prefix, **counts))
    return pools


def check_pool(pool: Pool) -> None:
    """Raises SettingsError for one that cannot be, naming the model."""
    for least, flag, value in (
        (0, "prefill-workers", pool.prefill_workers),
        (1, "decode-workers", pool.decode_workers),
        (0, "encode-workers", pool.encode_workers),
        (1, "threads", pool.threads),
    ):
        if value is not None and value < least:
            raise SettingsError(
                f"--models-file: {flag} of {pool.name} must be at least {least}, not {value}"
            )
    try:
        pool.worker.check_values()
    except SettingsError as error:
        raise SettingsError(f"--models-file: {pool.name}: {error}") from error


def _worker_for(entry: Mapping[str, Any], every: WorkerSettings) -> WorkerSettings:
    told = {one.name: one.default for one in settings_of(WorkerSettings) if one.name in OF_A_MODEL}
    told |= {name: value for name, value in entry.items() if name in OF_A_MODEL}
    told["served_model_name"] = told["served_model_name"][:1]
    return replace(every, hub=replace(every.hub, revision=told.pop("revision")), **told)


def _prefix_of(name: str) -> str:
    """Of the ids of workers that serve a model of that name."""
    return f"{_UNFIT.sub('-', name.rstrip('/').rpartition('/')[2])[:_LONGEST]}-"
