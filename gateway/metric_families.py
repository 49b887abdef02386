"""The families on a gateway's page: requests' under vLLM's names, the cluster's under our own."""

from dataclasses import replace

from baton.telemetry.family import Family, counter, gauge, histogram
from baton.telemetry.process_metrics import PROCESS_FAMILIES
from baton.telemetry.task_metrics import TASKS

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5)
FIRST = (*SHORT, 7.5, 10, 20, 40, 80, 160)
LONG = (0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 60, 120, 240, 480, 960, 1920)
PHASE = (*SHORT[:-2], 1.5, 2.5, 5, 10, 20, 30, 60, 120, 240, 480, 960, 1920)
TOKENS = tuple(factor * 10**power for power in range(6) for factor in (1, 2, 5))
CHOICES = (1, 2, 5, 10, 20)
RATIOS = (0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0)
RETRY = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)

# vLLM's

PROMPT_TOKENS = counter("vllm:prompt_tokens", "Prompt tokens read, of each request once.")
GENERATION_TOKENS = counter("vllm:generation_tokens", "Tokens generated, of all choices.")
ENDED = counter(
    "vllm:request_success",
    "Choices that ended, by reason: stop, length, abort (the client went away), error. As in vLLM a "
    "request counts once for each of its `n`.",
    "finished_reason",
)
FIRST_TOKEN = histogram(
    "vllm:time_to_first_token_seconds", "From a request's arrival to its first token.", FIRST
)
INTER_TOKEN = histogram(
    "vllm:inter_token_latency_seconds", "Between two tokens of a choice.", SHORT
)
PER_TOKEN = histogram(
    "vllm:request_time_per_output_token_seconds",
    "Mean time between two tokens of a choice that ended with two or more.",
    SHORT,
)
END_TO_END = histogram(
    "vllm:e2e_request_latency_seconds", "From a request's arrival to its last token.", LONG
)
QUEUE_TIME = histogram(
    "vllm:request_queue_time_seconds",
    "From a request's arrival to when a worker's engine began to read its prompt: the line of the "
    "gateway, the call, and the line of the worker.",
    PHASE,
)
PREFILL_TIME = histogram(
    "vllm:request_prefill_time_seconds",
    "From there to its first token. Not of beam searches, which tell nothing before their end.",
    PHASE,
)
DECODE_TIME = histogram(
    "vllm:request_decode_time_seconds",
    "From its first token to its last one. Not of beam searches.",
    PHASE,
)
INFERENCE_TIME = histogram(
    "vllm:request_inference_time_seconds",
    "From when its prompt was begun to its last token: prefill and decode.",
    PHASE,
)
REQUEST_PROMPT = histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", TOKENS)
REQUEST_GENERATION = histogram(
    "vllm:request_generation_tokens", "Generated tokens of a choice.", TOKENS
)
MOST_GENERATION = histogram(
    "vllm:request_max_num_generation_tokens",
    "Generated tokens of a request's longest choice.",
    TOKENS,
)
PARAMS_N = histogram("vllm:request_params_n", "`n` of requests.", CHOICES)
PARAMS_MAX_TOKENS = histogram(
    "vllm:request_params_max_tokens",
    "`max_tokens` of requests, as far as the model's length allows it.",
    TOKENS,
)

# Those of prometheus-fastapi-instrumentator, whose labels they have

HTTP_REQUESTS = replace(
    counter(
        "http_requests",
        "HTTP requests by route, method and class of status (2xx). 4xx too where the client went away "
        "before its answer began. Without the pages that machines ask for: /health, /ping, /metrics, "
        "/load, /version.",
        *("handler", "method", "status"),
    ),
    is_common=False,
)
HTTP_SECONDS = replace(
    histogram(
        "http_request_duration_seconds",
        "From an HTTP request's arrival to the end of its answer, a stream's last event included.",
        (0.1, 0.5, 1),
        *("handler", "method"),
    ),
    is_common=False,
)
HTTP_FINE_SECONDS = replace(
    histogram(
        "http_request_duration_highr_seconds",
        "The same with more buckets, of all routes together.",
        (
            *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5),
            *(7.5, 10, 30, 60),
        ),
    ),
    is_common=False,
)

# Ours

QUEUED = gauge(
    "baton_queued_requests",
    "Requests that wait at the gateway until workers have room for them. `priority` is high (below 0), "
    "normal (0) or low (above 0).",
    *("priority", "tenant"),
)
RETRY_AFTER = histogram(
    "baton_retry_after_seconds",
    "What refused requests were told in `Retry-After`, by the reason in `x-baton-reason`; reason broken: "
    "the workers of a request went away.",
    RETRY,
    "reason",
)
ABORTED = counter(
    "baton_request_aborts",
    "Requests whose client went away, by what they were in: queue, prefill, decode (from the first "
    "token on).",
    "phase",
)
FAILOVERS = counter(
    "baton_failovers",
    "Breaks under a request that was begun. `reason`: unavailable (a worker was lost), transfer (a hand-off "
    "failed), refused. `phase`: prefill (no token from there yet), transfer (the decode worker had "
    "not yet told one), decode. `result`: resumed (it went on elsewhere), failed, abandoned (the "
    "client went away meanwhile).",
    *("reason", "phase", "result"),
)
MOVES = counter(
    "baton_moves",
    "Running choices that a decode worker was asked to hand over to another one: moved, refused (it "
    "stayed), failed (it left, did not arrive, and went on from its tokens).",
    "result",
)
PLACEMENTS = counter("baton_placements", "Placements of requests, by what decided.", "reason")
TTFT_RATIO = histogram(
    "baton_predicted_ttft_ratio",
    "Time from placement to first token, measured by predicted.",
    RATIOS,
)
ITL_RATIO = histogram(
    "baton_predicted_itl_ratio",
    "Time from token to token of an answer, measured by predicted.",
    RATIOS,
)
PREDICTED_CACHED = counter(
    "baton_prefix_predicted_tokens",
    "Prompt tokens believed cached on the worker that was chosen to read them.",
)
ACTUAL_CACHED = counter(
    "baton_prefix_cached_tokens", "Prompt tokens of the same requests that were cached there."
)
DRIFTS = counter(
    "baton_prefix_drifts",
    "Predictions wrong by a stride or more that no event on its way explains.",
    "cached",
)
RESYNCS = counter(
    "baton_prefix_resyncs",
    "Times that all that a worker holds was asked for again, by why.",
    "reason",
)
INDEX_SIZE = gauge("baton_prefix_index_size", "Prefixes that some worker holds.")

# By tenant. Those after the 200th share the name "others".

TENANT_REQUESTS = counter("baton_tenant_requests", "Requests of a tenant that ended.", "tenant")
TENANT_PROMPT = counter("baton_tenant_prompt_tokens", "Prompt tokens read for a tenant.", "tenant")
TENANT_GENERATION = counter(
    "baton_tenant_generation_tokens", "Tokens generated for a tenant.", "tenant"
)
TENANT_REFUSED = counter(
    "baton_tenant_refused", "Requests of a tenant sent away, by reason.", *("tenant", "reason")
)
TENANT_QUEUED = counter(
    "baton_tenant_queue_seconds", "Time that a tenant's requests waited for room.", "tenant"
)

COUNTED: tuple[Family, ...] = (  # as requests go
    *(PROMPT_TOKENS, GENERATION_TOKENS, ENDED, FIRST_TOKEN, INTER_TOKEN, PER_TOKEN, END_TO_END),
    *(QUEUE_TIME, PREFILL_TIME, DECODE_TIME, INFERENCE_TIME),
    *(REQUEST_PROMPT, REQUEST_GENERATION, MOST_GENERATION, PARAMS_N, PARAMS_MAX_TOKENS),
    *(HTTP_REQUESTS, HTTP_SECONDS, HTTP_FINE_SECONDS),
    *(RETRY_AFTER, ABORTED, FAILOVERS, MOVES),
    *(PLACEMENTS, TTFT_RATIO, ITL_RATIO),
    *(TENANT_REQUESTS, TENANT_PROMPT, TENANT_GENERATION, TENANT_REFUSED, TENANT_QUEUED),
)
READ: tuple[Family, ...] = (  # when the page is
    *(QUEUED, PREDICTED_CACHED, ACTUAL_CACHED, DRIFTS, RESYNCS, INDEX_SIZE),
    *(TASKS, *PROCESS_FAMILIES),
)
GATEWAY_FAMILIES = (*COUNTED, *READ)
