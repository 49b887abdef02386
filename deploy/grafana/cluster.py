"""The first page to look at: what users get, and who serves them."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana import queries as q
from deploy.grafana.panels import Panel, Query, Section, heatmap, lines, number, page, quantiles

FIRST_TOKEN = "vllm:time_to_first_token_seconds"
BETWEEN_TOKENS = "vllm:inter_token_latency_seconds"
WHOLE_ANSWER = "vllm:e2e_request_latency_seconds"
ENDED = "vllm:request_success_total"


def dashboard() -> Dashboard:
    return page(
        "cluster",
        "Cluster",
        "What users get, and who serves them.",
        Section("Now", _now()),
        Section("What users get", _latencies()),
        Section("Work", _work()),
        Section("Trouble", _trouble()),
    )


def _now() -> list[Panel]:
    return [
        number(
            "Gateways",
            "Those that answer their scraper.",
            "none",
            Query(q.total(q.of("up", job="baton-gateway"))),
        ),
        number(
            "Workers",
            "By role. One that is down is in none.",
            "none",
            Query(q.total(q.WORKER, "role"), "{{role}}"),
        ),
        number(
            "Answers",
            "Choices that ended, per second.",
            "reqps",
            Query(q.rate(ENDED)),
        ),
        number(
            "Waiting",
            "Requests that wait at the gateways until workers have room for them.",
            "none",
            Query(q.total(q.of("baton_queued_requests"))),
        ),
        number(
            "First token, p90",
            "Nine of ten requests had theirs sooner.",
            "s",
            Query(q.quantile(0.9, FIRST_TOKEN)),
        ),
        number(
            "Alerts",
            "Of Baton that fire now; the rules have to be loaded.",
            "none",
            Query(q.or_zero(q.total(q.alerts(alertstate="firing")))),
        ),
    ]


def _latencies() -> list[Panel]:
    return [
        lines(
            "Time to first token",
            "From a request's arrival to its first token: the line, the placement and the prompt.",
            "s",
            *quantiles(FIRST_TOKEN),
        ),
        lines(
            "Time between tokens",
            "Of one answer.",
            "s",
            *quantiles(BETWEEN_TOKENS),
        ),
        lines(
            "Whole answers",
            "From a request's arrival to its last token.",
            "s",
            *quantiles(WHOLE_ANSWER),
        ),
        lines(
            "Where nine of ten requests spend their time",
            "In line (of the gateway and of the worker), with their prompt, with their answer.",
            "s",
            Query(q.quantile(0.9, "vllm:request_queue_time_seconds"), "waiting"),
            Query(q.quantile(0.9, "vllm:request_prefill_time_seconds"), "prefill"),
            Query(q.quantile(0.9, "vllm:request_decode_time_seconds"), "decode"),
        ),
        heatmap(
            "Time to first token, all of them",
            "How many requests per second took how long. Two bands are two kinds of requests.",
            "s",
            q.buckets(FIRST_TOKEN),
        ),
        heatmap(
            "Time between tokens, all of them",
            "How many tokens per second took how long.",
            "s",
            q.buckets(BETWEEN_TOKENS),
        ),
    ]


def _work() -> list[Panel]:
    return [
        lines(
            "Tokens",
            "Prompt tokens that were read, answers' tokens that were written, per second.",
            "none",
            Query(q.rate("vllm:prompt_tokens_total"), "read"),
            Query(q.rate("vllm:generation_tokens_total"), "written"),
        ),
        lines(
            "Length of prompts",
            "Tokens.",
            "none",
            *quantiles("vllm:request_prompt_tokens"),
        ),
        lines(
            "Length of answers",
            "Tokens of a choice.",
            "none",
            *quantiles("vllm:request_generation_tokens"),
        ),
        lines(
            "Requests at work",
            "In the workers' batches, and those that wait: at a worker, or at the gateways for any.",
            "none",
            Query(q.by_role(q.of("vllm:num_requests_running")), "running, {{role}}"),
            Query(q.by_role(q.of("vllm:num_requests_waiting")), "waiting, {{role}}"),
            Query(q.total(q.of("baton_queued_requests")), "waiting at gateways"),
        ),
        lines(
            "KV pools",
            "The share in use, of the fullest worker of each role.",
            "percentunit",
            Query(
                f"max by (role) ({q.by_worker(q.of('vllm:kv_cache_usage_perc'))})",
                "{{role}}",
            ),
            top=1,
        ),
        lines(
            "Prompt tokens found cached",
            "The share of prompts that no worker had to read again.",
            "percentunit",
            Query(
                q.share(
                    q.rate("vllm:prefix_cache_hits_total"),
                    q.rate("vllm:prefix_cache_queries_total"),
                ),
                "cached",
            ),
            top=1,
        ),
    ]


def _trouble() -> list[Panel]:
    return [
        lines(
            "Ends of answers",
            "Choices by how they ended, per second: abort is a client that left, error is ours.",
            "reqps",
            Query(q.rate(ENDED, "finished_reason"), "{{finished_reason}}"),
        ),
        lines(
            "Requests sent away",
            "With 429, 503 or 504, by reason, per second. No line: nobody was.",
            "reqps",
            Query(q.rate("baton_tenant_refused_total", "reason"), "{{reason}}"),
        ),
        lines(
            "What broke",
            "Failovers by what came of it, per second: resumed elsewhere, failed, or abandoned by "
            "the client.",
            "ops",
            Query(q.rate("baton_failovers_total", "result"), "{{result}}"),
        ),
        lines(
            "HTTP answers",
            "By class of status, per second.",
            "reqps",
            Query(q.rate("http_requests_total", "status"), "{{status}}"),
        ),
        lines(
            "Told to come back",
            "After how long, by reason, on the average. No line: nobody was.",
            "s",
            Query(q.mean("baton_retry_after_seconds", "reason"), "{{reason}}"),
        ),
        lines(
            "Clients that left",
            "Per second, by what their request was in.",
            "reqps",
            Query(q.rate("baton_request_aborts_total", "phase"), "{{phase}}"),
        ),
    ]
