"""The families on a worker's page: the engine's under vLLM's names, the hand-off's under our own."""

from dataclasses import replace

from baton.telemetry.family import STEP_TOKENS, Family, counter, gauge, histogram
from baton.telemetry.process_metrics import PROCESS_FAMILIES
from baton.telemetry.task_metrics import TASKS

# Of a pull: a megabyte in shared memory takes one or two milliseconds, a long prompt over a slow
# network minutes.
TRANSFER_SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
# Of an image: a thumbnail on a fast machine, a photograph in full on a slow one.
IMAGE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# Of one read by NIXL, as vLLM has them.
READ_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 5.0)
READ_BYTES = tuple(2.0 ** (10 + power) for power in range(1, 25, 2))
NIXL = "With `--kv-transport nixl`."

RUNNING = gauge("vllm:num_requests_running", "Requests in the batch.")
WAITING = gauge("vllm:num_requests_waiting", "Requests that are here and not yet in the batch.")
KV_USAGE = gauge("vllm:kv_cache_usage_perc", "Share of the KV pool in use, 0 to 1.")
CACHE_QUERIES = counter("vllm:prefix_cache_queries", "Prompt tokens looked up in the prefix cache.")
CACHE_HITS = counter(
    "vllm:prefix_cache_hits", "Prompt tokens found in the prefix cache, here or in host memory."
)
EXTERNAL_QUERIES = counter(
    "vllm:external_prefix_cache_queries",
    "Tokens that this worker did not have cached and asked another worker for: of hand-offs, and of "
    "prefixes that others have cached.",
)
EXTERNAL_HITS = counter(
    "vllm:external_prefix_cache_hits", "Tokens of those whose KV came from there."
)
PREEMPTIONS = counter(
    "vllm:num_preemptions",
    "Times that a request in the batch gave its KV blocks up for others, to compute them again.",
)
ITERATION_TOKENS = histogram(
    "vllm:iteration_tokens_total",
    "Tokens computed in one step of the engine: of prompts, and one for each answer being written.",
    STEP_TOKENS,
)
CACHE_CONFIG = gauge(
    "vllm:cache_config_info",
    "Always 1; its labels say how the KV pool is built. `num_gpu_blocks` is the pool's size wherever "
    "it lies, `num_cpu_blocks` that of the host tier.",
    *("block_size", "cache_dtype", "enable_prefix_caching", "kv_cache_memory_bytes"),
    *("num_cpu_blocks", "num_gpu_blocks"),
)

NIXL_BYTES = replace(
    histogram("vllm:nixl_bytes_transferred", "Bytes of one read by NIXL.", READ_BYTES), only=NIXL
)
NIXL_TIME = replace(
    histogram("vllm:nixl_xfer_time_seconds", "Time that one read by NIXL took.", READ_SECONDS),
    only=NIXL,
)
NIXL_FAILED = replace(
    counter(
        "vllm:nixl_num_failed_transfers",
        "Reads by NIXL that broke, not counting those that were given up here.",
    ),
    only=NIXL,
)

ABOUT = gauge(
    "baton_worker_info",
    "Always 1; its labels say who this is. `role` is prefill or decode, and may change, or encode.",
    *("worker_id", "role", "version"),
)
ABORTS = counter(
    "baton_engine_aborts",
    "Requests that the engine dropped before their end: their caller went away, has all that it "
    "wanted, or asks elsewhere.",
)

ROLE_FLIPS = counter(
    "baton_role_flips",
    "Changes of this worker's role that were asked for: done, called_off, or overtaken by its end.",
    *("from", "to", "result"),
)

HOST_QUERIES = counter(
    "baton_host_cache_queries", "Tokens that the KV pool did not have, looked up in host memory."
)
HOST_HITS = counter("baton_host_cache_hits", "Tokens found in host memory.")
HOST_STORED = counter(
    "baton_host_cache_stored_blocks", "Blocks copied to host memory when the KV pool gave them up."
)
HOST_EVICTED = counter("baton_host_cache_evicted_blocks", "Blocks overwritten in host memory.")
HOST_USAGE = gauge("baton_host_cache_usage_perc", "Share of host memory in use, 0 to 1.")

LEASES = gauge("baton_leases_open", "Hand-offs that are lent blocks here.")
LEASED_BLOCKS = gauge("baton_leased_blocks", "Blocks lent to hand-offs.")
RESERVED_BLOCKS = gauge("baton_reserved_blocks", "Blocks promised to hand-offs.")
PULLS = gauge("baton_pulls_open", "Hand-offs on their way here.")
PULLING_BLOCKS = gauge("baton_pulling_blocks", "Blocks that hand-offs on their way here fill.")
HANDOFFS = counter(
    "baton_handoffs",
    "Hand-offs that ended. Of those lent here: confirmed, aborted (given up by either side, or a "
    "stream broke), expired (nobody came for them in time). Of those on their way here: pulled, "
    "pull_failed. And refused_ticket, questions with a ticket that was not right.",
    "result",
)
RECLAIMED_BLOCKS = counter(
    "baton_reclaimed_blocks", "Lent blocks taken back from hand-offs that nobody confirmed."
)
TRANSFER_BYTES = counter("baton_kv_transfer_bytes", "KV cache bytes pulled.")
TRANSFER_TIME = histogram(
    "baton_kv_transfer_seconds",
    "Of a hand-off on its way here, from the first ready segment to the confirmation.",
    TRANSFER_SECONDS,
)
EXPOSED_TIME = histogram(
    "baton_kv_transfer_exposed_seconds",
    "From the end of prefill's computing to the confirmation: the part that computing did not hide.",
    TRANSFER_SECONDS,
)
CHECKSUM_FAILURES = counter(
    "baton_kv_transfer_checksum_failures",
    "Blocks that came with a wrong checksum, each time that they did.",
)
REPAIRED_BLOCKS = counter(
    "baton_kv_transfer_repaired_blocks",
    "Blocks that were read again because their checksum was wrong.",
)
PREFIX_PULLS = counter(
    "baton_prefix_pulls",
    "Prompts whose beginning another worker may have had cached, by what came of it: pulled, "
    "not_needed (too little of it is lacking here), no_room, failed.",
    "result",
)
PREFIX_TOKENS = counter(
    "baton_prefix_pulled_tokens",
    "Prompt tokens whose KV came from another worker's prefix cache.",
)
IMAGE_QUERIES = counter(
    "vllm:mm_cache_queries", "Images of prompts, looked up among those that were encoded before."
)
IMAGE_HITS = counter("vllm:mm_cache_hits", "Images of those that were found.")
IMAGE_TIME = histogram(
    "baton_image_encode_seconds",
    "To decode the file of one image, scale it and run the vision tower.",
    IMAGE_SECONDS,
)

EMBEDDINGS_USAGE = gauge(
    "baton_image_blocks_usage_perc",
    "Share of an encode worker's blocks that are lent or being filled, 0 to 1.",
)
ENCODE_QUERIES = counter(
    "baton_encode_cache_queries", "Images that an encode worker was asked for."
)
ENCODE_HITS = counter("baton_encode_cache_hits", "Images of those that it had kept.")
IMAGE_LEASES = counter(
    "baton_image_leases",
    "Requests whose images were lent by an encode worker, by how that ended: confirmed; aborted (whoever "
    "reads the prompt had kept them, or somebody gave up); expired. And refused_ticket.",
    "result",
)
_VISION = "Where the model reads images."
IMAGE_PULLS = replace(
    counter(
        "baton_image_pulls",
        "Prompts whose images an encode worker was asked for, by what came of it here: pulled, "
        "not_needed (they were kept here), failed.",
        "result",
    ),
    only=_VISION,
)
IMAGE_PULL_BYTES = replace(
    counter("baton_image_pull_bytes", "Bytes of embeddings pulled."), only=_VISION
)
IMAGE_PULL_TIME = replace(
    histogram(
        "baton_image_pull_exposed_seconds",
        "Of embeddings on their way here, from the end of the encoding to the confirmation.",
        TRANSFER_SECONDS,
    ),
    only=_VISION,
)

WORKER_FAMILIES: tuple[Family, ...] = (
    *(RUNNING, WAITING, KV_USAGE, CACHE_QUERIES, CACHE_HITS, EXTERNAL_QUERIES, EXTERNAL_HITS),
    *(PREEMPTIONS, ITERATION_TOKENS, CACHE_CONFIG, NIXL_BYTES, NIXL_TIME, NIXL_FAILED),
    *(ABOUT, ABORTS, ROLE_FLIPS),
    *(LEASES, LEASED_BLOCKS, RESERVED_BLOCKS, PULLS, PULLING_BLOCKS, HANDOFFS, RECLAIMED_BLOCKS),
    *(TRANSFER_BYTES, TRANSFER_TIME, EXPOSED_TIME, CHECKSUM_FAILURES, REPAIRED_BLOCKS),
    *(PREFIX_PULLS, PREFIX_TOKENS),
    *(IMAGE_QUERIES, IMAGE_HITS, IMAGE_TIME),
    *(IMAGE_PULLS, IMAGE_PULL_BYTES, IMAGE_PULL_TIME),
    *(HOST_QUERIES, HOST_HITS, HOST_STORED, HOST_EVICTED, HOST_USAGE),
    *(TASKS, *PROCESS_FAMILIES),
)

ENCODER_FAMILIES: tuple[Family, ...] = (
    *(ABOUT, RUNNING, WAITING, EMBEDDINGS_USAGE, LEASES, LEASED_BLOCKS, IMAGE_LEASES),
    *(ENCODE_QUERIES, ENCODE_HITS, IMAGE_TIME, TASKS, *PROCESS_FAMILIES),
)
