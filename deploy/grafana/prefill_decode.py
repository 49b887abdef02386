"""The two kinds of workers beside each other, and why requests went where they went."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana import queries as q
from deploy.grafana.panels import Panel, Query, Section, lines, page, quantiles

RATIO_ABOUT = (
    "1: as predicted. Above it things took longer; placement is as good as this is near 1."
)


def dashboard() -> Dashboard:
    return page(
        "prefill-decode",
        "Prefill and decode",
        "The two kinds of workers beside each other, and why requests went where they went.",
        Section("Prefill workers: they read prompts", _workers("prefill")),
        Section("Decode workers: they write answers", _workers("decode")),
        Section("Placement", _placement()),
        Section("Predictions", _predictions()),
        Section("Changes", _changes()),
    )


def _workers(role: str) -> list[Panel]:
    of_role = f'{q.WORKER[:-1]},role="{role}"}}'

    def each(expr: str) -> Query:
        return Query(
            f"{expr} * on (job, instance) group_left (worker_id) {of_role}", "{{worker_id}}"
        )

    return [
        lines(
            f"Requests in the batch, {role}",
            "Those that each worker computes for, step by step.",
            "none",
            each(q.of("vllm:num_requests_running")),
        ),
        lines(
            f"Requests that wait, {role}",
            "Those that each worker has taken and not yet begun.",
            "none",
            each(q.of("vllm:num_requests_waiting")),
        ),
        lines(
            f"KV pool, {role}",
            "The share of each worker's blocks in use; cached blocks that nobody reads are free.",
            "percentunit",
            each(q.of("vllm:kv_cache_usage_perc")),
            top=1,
        ),
    ]


def _placement() -> list[Panel]:
    return [
        lines(
            "Placements",
            "By what decided, per second. `local`: a decode worker alone, for a hand-off would "
            "have cost more than it saves; `no_prefill`: alone, for no prefill worker lives.",
            "reqps",
            Query(q.rate("baton_placements_total", "reason"), "{{reason}}"),
        ),
        lines(
            "Placements without a hand-off",
            "The share that a decode worker read and answered by itself.",
            "percentunit",
            Query(
                q.share(
                    q.rate("baton_placements_total", reason="local|no_prefill"),
                    q.rate("baton_placements_total"),
                ),
                "decode alone",
            ),
            top=1,
        ),
        lines(
            "Cached prompt tokens",
            "Believed at placement, and found when the prompt was read: per second.",
            "none",
            Query(q.rate("baton_prefix_predicted_tokens_total"), "believed"),
            Query(q.rate("baton_prefix_cached_tokens_total"), "found"),
        ),
    ]


def _predictions() -> list[Panel]:
    return [
        lines(
            "First token, measured by predicted",
            RATIO_ABOUT,
            "none",
            *quantiles("baton_predicted_ttft_ratio"),
        ),
        lines(
            "Time between tokens, measured by predicted",
            RATIO_ABOUT,
            "none",
            *quantiles("baton_predicted_itl_ratio"),
        ),
        lines(
            "What gateways know of prefix caches",
            "Prefixes in the index, of all gateways. Drifts and resyncs per second: an index that "
            "was wrong, and one that was asked for anew.",
            "none",
            Query(q.total(q.of("baton_prefix_index_size")), "prefixes"),
            Query(q.rate("baton_prefix_drifts_total"), "drifts"),
            Query(q.rate("baton_prefix_resyncs_total"), "resyncs"),
        ),
    ]


def _changes() -> list[Panel]:
    return [
        lines(
            "Failovers",
            "What broke under requests, per second, by reason and by what they were in.",
            "ops",
            Query(q.rate("baton_failovers_total", "reason", "phase"), "{{reason}}, {{phase}}"),
        ),
        lines(
            "Moves",
            "Running answers that a draining decode worker handed over, by what came of it.",
            "ops",
            Query(q.rate("baton_moves_total", "result"), "{{result}}"),
        ),
        lines(
            "Changes of role",
            "Of workers, since they started, by what came of it.",
            "none",
            Query(q.total(q.of("baton_role_flips_total"), "to", "result"), "to {{to}}, {{result}}"),
        ),
    ]
