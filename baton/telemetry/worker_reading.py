"""A worker's numbers at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from baton.telemetry.distribution import Distribution


@dataclass(frozen=True, slots=True)
class NixlReading:
    """Of reads by NIXL; only grows."""

    bytes: Distribution
    seconds: Distribution
    failed: int


@dataclass(frozen=True, slots=True)
class ImagePullsReading:
    """Of embeddings from encode workers; only grows."""

    results: Mapping[str, int]  # prompts by what came of it
    bytes: int
    exposed: Distribution  # seconds, from the end of the encoding on


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """Counts that only grow run from the process's start."""

    about: Mapping[str, str]  # the labels of `worker_families.ABOUT`
    cache_config: Mapping[str, str]  # those of `CACHE_CONFIG`
    running: int  # requests in the batch
    waiting: int  # requests not yet in it
    preemptions: int  # only grows
    aborts: int  # requests dropped before their end, only grows
    step_tokens: Distribution  # computed in one step
    kv_usage: float  # share of the pool in use, 0 to 1
    cache_queries: int  # prompt tokens looked up in the prefix cache, only grows
    cache_hits: int  # of those found, there or in host memory, only grows
    external_queries: int  # tokens not cached here and asked of other workers, only grows
    external_hits: int  # of those that came, only grows
    host_queries: int  # tokens that the pool did not have, looked up in host memory, only grows
    host_hits: int  # of those found, only grows
    host_blocks_stored: int  # copied to host memory when the pool gave them up, only grows
    host_blocks_evicted: int  # overwritten there, only grows
    host_usage: float  # share of that memory in use, 0 to 1
    leases_open: int  # hand-offs that this worker still lends blocks to
    leased_blocks: int  # lent to them
    reclaimed_blocks: int  # lent and taken back without a confirmation, only grows
    reserved_blocks: int  # promised to hand-offs on their way here
    pulls_open: int  # hand-offs on their way here
    pulling_blocks: int  # that they fill
    transfer_bytes: int  # payload pulled, only grows
    wrong_blocks: int  # whose checksum was wrong, each time, only grows
    repaired_blocks: int  # read again for that, only grows
    transfer_seconds: Distribution  # of pulls, from the first ready segment to the confirmation
    exposed_seconds: Distribution  # of pulls, from the end of prefill's computing on
    handoffs: Mapping[str, int]  # ended hand-offs by result, such as "confirmed", only grow
    prefix_pulls: Mapping[str, int]  # cached prefixes of other workers, by result, only grow
    role_flips: Mapping[tuple[str, str, str], int]  # from, to, result, only grow
    prefix_tokens: int  # whose KV came that way, only grows
    image_queries: int  # images looked up among those encoded before, only grows
    image_hits: int  # of those found, only grows
    image_seconds: Distribution  # of the others, to encode each
    image_pulls: ImagePullsReading | None  # None: the model reads only text
    nixl: NixlReading | None  # None: it is not what moves the bytes
