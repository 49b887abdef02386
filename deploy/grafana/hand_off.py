"""The KV cache on its way: how much, how fast, who waits for it, and what went wrong."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana import queries as q
from deploy.grafana.panels import HALF, Panel, Query, Section, heatmap, lines, page, quantiles

WHOLE = "baton_kv_transfer_seconds"
EXPOSED = "baton_kv_transfer_exposed_seconds"
BYTES = "baton_kv_transfer_bytes_total"


def dashboard() -> Dashboard:
    return page(
        "hand-off",
        "Hand-off",
        "The KV cache on its way from prefill to decode.",
        Section("Transfers", _transfers()),
        Section("Time", _time()),
        Section("Blocks that are lent, promised and filled", _blocks()),
        Section("How hand-offs end", _ends()),
        Section("Cached prefixes of other workers", _prefixes()),
    )


def _transfers() -> list[Panel]:
    return [
        lines(
            "Bytes",
            "KV cache that each worker pulled, per second.",
            "Bps",
            Query(q.by_worker(q.per_second(BYTES)), "{{worker_id}}"),
        ),
        lines(
            "Transfers",
            "That were confirmed, per second and worker that pulled.",
            "ops",
            Query(q.by_worker(q.per_second(f"{WHOLE}_count")), "{{worker_id}}"),
        ),
        lines(
            "Bytes of a transfer",
            "On the average.",
            "bytes",
            Query(q.share(q.rate(BYTES), q.rate(f"{WHOLE}_count")), "mean"),
        ),
    ]


def _time() -> list[Panel]:
    return [
        lines(
            "Whole transfers",
            "From the first ready segment to the confirmation. Most of it passes while prefill "
            "still computes.",
            "s",
            *quantiles(WHOLE),
        ),
        lines(
            "Exposed",
            "From the end of prefill's computing to the confirmation: what the second token "
            "waited for.",
            "s",
            *quantiles(EXPOSED),
        ),
        lines(
            "Hidden behind prefill",
            "The share of transfer time that passed while the prompt was still computed.",
            "percentunit",
            Query(
                f"1 - {q.share(q.rate(f'{EXPOSED}_sum'), q.rate(f'{WHOLE}_sum'))}",
                "hidden",
            ),
            top=1,
        ),
        heatmap(
            "Exposed, all of them",
            "How many transfers per second kept their request waiting for how long.",
            "s",
            q.buckets(EXPOSED),
            HALF,
        ),
        heatmap(
            "Whole transfers, all of them",
            "How many transfers per second took how long.",
            "s",
            q.buckets(WHOLE),
            HALF,
        ),
    ]


def _blocks() -> list[Panel]:
    return [
        lines(
            "Hand-offs under way",
            "Leases at those who lend blocks, pulls at those who fetch them.",
            "none",
            Query(q.total(q.of("baton_leases_open")), "leases"),
            Query(q.total(q.of("baton_pulls_open")), "pulls"),
        ),
        lines(
            "Blocks lent",
            "By each worker to hand-offs that are not over. At rest it is 0: what stays is a leak.",
            "none",
            Query(q.by_worker(q.of("baton_leased_blocks")), "{{worker_id}}"),
        ),
        lines(
            "Blocks promised and filled",
            "Reserved by decode workers for hand-offs to come, and those that pulls fill.",
            "none",
            Query(q.by_worker(q.of("baton_reserved_blocks")), "reserved, {{worker_id}}"),
            Query(q.by_worker(q.of("baton_pulling_blocks")), "pulled, {{worker_id}}"),
        ),
    ]


def _ends() -> list[Panel]:
    return [
        lines(
            "Results",
            "How hand-offs ended, per second: `confirmed`, `aborted`, `expired` and "
            "`refused_ticket` at the lender, `pulled` and `pull_failed` at the puller.",
            "ops",
            Query(q.rate("baton_handoffs_total", "result"), "{{result}}"),
        ),
        lines(
            "Damaged blocks",
            "That came with a wrong checksum, per second. More than a few: memory or network "
            "damages them.",
            "ops",
            Query(
                q.by_worker(q.per_second("baton_kv_transfer_checksum_failures_total")),
                "{{worker_id}}",
            ),
        ),
        lines(
            "Blocks taken back",
            "Lent to hand-offs that nobody confirmed, per second.",
            "ops",
            Query(q.by_worker(q.per_second("baton_reclaimed_blocks_total")), "{{worker_id}}"),
        ),
    ]


def _prefixes() -> list[Panel]:
    return [
        lines(
            "Tokens that came from others",
            "Of those that workers asked other workers for, hand-offs and prefixes: the share that "
            "they got.",
            "percentunit",
            Query(
                q.share(
                    q.rate("vllm:external_prefix_cache_hits_total"),
                    q.rate("vllm:external_prefix_cache_queries_total"),
                ),
                "came",
            ),
            top=1,
        ),
        lines(
            "Prefix pulls",
            "Prompts whose beginning another worker may have had cached, by what came of it, "
            "per second.",
            "ops",
            Query(q.rate("baton_prefix_pulls_total", "result"), "{{result}}"),
        ),
        lines(
            "Prompt tokens that came that way",
            "Per second; none of them had to be computed again.",
            "none",
            Query(
                q.by_worker(q.per_second("baton_prefix_pulled_tokens_total")),
                "{{worker_id}}",
            ),
        ),
    ]
