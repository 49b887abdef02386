"""Each worker's engine and process by itself."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana import queries as q
from deploy.grafana.panels import HALF, Panel, Query, Section, heatmap, lines, page

EACH = "{{worker_id}}"


def dashboard() -> Dashboard:
    return page(
        "engine",
        "Engine",
        "Each worker's engine and process by itself.",
        Section("Batch and KV pool", _engine()),
        Section("Prefix cache", _cache()),
        Section("Host memory behind the pool (--kv-offloading-size)", _host()),
        Section("Images", _images()),
        Section("Processes", _processes()),
    )


def each(name: str) -> Query:
    return Query(q.by_worker(q.of(name)), EACH)


def each_rate(name: str, legend: str = EACH) -> Query:
    return Query(q.by_worker(q.per_second(name)), legend)


def _engine() -> list[Panel]:
    return [
        lines("Running", "Requests in the batch.", "none", each("vllm:num_requests_running")),
        lines("Waiting", "Requests not yet in it.", "none", each("vllm:num_requests_waiting")),
        lines(
            "KV pool",
            "The share of blocks in use; cached blocks that nobody reads are free.",
            "percentunit",
            each("vllm:kv_cache_usage_perc"),
            top=1,
        ),
        heatmap(
            "Tokens of a step",
            "How many steps per second computed how many tokens: of prompts, and one for each answer.",
            "none",
            q.buckets("vllm:iteration_tokens_total"),
        ),
        lines(
            "Preemptions",
            "Requests that gave their KV blocks up for others, per second, to be computed again.",
            "ops",
            each_rate("vllm:num_preemptions_total"),
        ),
        lines(
            "Requests dropped",
            "Before their end, per second: their caller went away, has enough, or asks elsewhere.",
            "ops",
            each_rate("baton_engine_aborts_total"),
        ),
    ]


def _cache() -> list[Panel]:
    found = q.by_worker(q.per_second("vllm:prefix_cache_hits_total"))
    asked = q.by_worker(q.per_second("vllm:prefix_cache_queries_total"))
    return [
        lines(
            "Share found",
            "Of the prompt tokens that a worker looked up, those that it did not have to compute.",
            "percentunit",
            Query(q.share(found, asked), EACH),
            width=HALF,
            top=1,
        ),
        lines(
            "Tokens looked up",
            "Per second, and those that were found.",
            "none",
            each_rate("vllm:prefix_cache_queries_total", "looked up, {{worker_id}}"),
            each_rate("vllm:prefix_cache_hits_total", "found, {{worker_id}}"),
            width=HALF,
        ),
    ]


def _host() -> list[Panel]:
    return [
        lines(
            "In use",
            "The share of host memory that holds blocks; 0 without --kv-offloading-size.",
            "percentunit",
            each("baton_host_cache_usage_perc"),
            top=1,
        ),
        lines(
            "Tokens looked up there",
            "That the KV pool did not have, per second, and those that were found.",
            "none",
            each_rate("baton_host_cache_queries_total", "looked up, {{worker_id}}"),
            each_rate("baton_host_cache_hits_total", "found, {{worker_id}}"),
        ),
        lines(
            "Blocks in and out",
            "Copied there when the pool gave them up, and overwritten there, per second.",
            "ops",
            each_rate("baton_host_cache_stored_blocks_total", "stored, {{worker_id}}"),
            each_rate("baton_host_cache_evicted_blocks_total", "overwritten, {{worker_id}}"),
        ),
    ]


def _images() -> list[Panel]:
    return [
        lines(
            "Images of prompts",
            "Per second, and those that had been encoded before.",
            "ops",
            each_rate("vllm:mm_cache_queries_total", "looked up, {{worker_id}}"),
            each_rate("vllm:mm_cache_hits_total", "found, {{worker_id}}"),
            width=HALF,
        ),
        lines(
            "Encoding images",
            "The share of each worker's time in which it does.",
            "percentunit",
            each_rate("baton_image_encode_seconds_sum"),
            width=HALF,
        ),
    ]


def _processes() -> list[Panel]:
    gateways = Query(q.of("process_resident_memory_bytes", job="baton-gateway"), "{{instance}}")
    return [
        lines(
            "Processor time",
            "Cores that each worker and gateway keeps busy.",
            "none",
            each_rate("process_cpu_seconds_total"),
            Query(
                f"rate({q.of('process_cpu_seconds_total', job='baton-gateway')}[{q.WINDOW}])",
                "{{instance}}",
            ),
        ),
        lines(
            "Memory",
            "Resident, of each worker and gateway.",
            "bytes",
            each("process_resident_memory_bytes"),
            gateways,
        ),
        lines(
            "Tasks of event loops",
            "By what they run. A kind that only grows is a leak.",
            "none",
            Query(q.total(q.of("baton_asyncio_tasks"), "coroutine"), "{{coroutine}}"),
        ),
    ]
