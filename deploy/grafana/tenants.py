"""Who uses the cluster, who waits and who was sent away."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana import queries as q
from deploy.grafana.panels import HALF, Panel, Query, Section, lines, page

EACH = "{{tenant}}"
WRITTEN = "baton_tenant_generation_tokens_total"
READ = "baton_tenant_prompt_tokens_total"


def dashboard() -> Dashboard:
    return page(
        "tenants",
        "Tenants",
        "Who uses the cluster, who waits and who was sent away. The names are those of the "
        "tenants' file; after 200 of them the rest is `others`.",
        Section("Use", _use()),
        Section("Waiting and refusals", _limits()),
    )


def _use() -> list[Panel]:
    used = f"{q.rate(READ, 'tenant')} + {q.rate(WRITTEN, 'tenant')}"
    everything = f"scalar({q.rate(READ)} + {q.rate(WRITTEN)})"
    return [
        lines(
            "Requests",
            "That ended, per second.",
            "reqps",
            Query(q.rate("baton_tenant_requests_total", "tenant"), EACH),
        ),
        lines(
            "Prompt tokens read",
            "Per second.",
            "none",
            Query(q.rate(READ, "tenant"), EACH),
        ),
        lines(
            "Tokens written",
            "Per second.",
            "none",
            Query(q.rate(WRITTEN, "tenant"), EACH),
        ),
        lines(
            "Share of all tokens",
            "What fairness holds to the weights, while there is a line.",
            "percentunit",
            Query(f"({used}) / {everything}", EACH),
            width=HALF,
            top=1,
        ),
        lines(
            "Tokens of a request",
            "Read and written, on the average.",
            "none",
            Query(f"({used}) / ({q.rate('baton_tenant_requests_total', 'tenant')} > 0)", EACH),
            width=HALF,
        ),
    ]


def _limits() -> list[Panel]:
    return [
        lines(
            "Time in line",
            "Of a request, on the average.",
            "s",
            Query(
                q.share(
                    q.rate("baton_tenant_queue_seconds_total", "tenant"),
                    q.rate("baton_tenant_requests_total", "tenant"),
                ),
                EACH,
            ),
        ),
        lines(
            "In line now",
            "Requests that wait at the gateways.",
            "none",
            Query(q.total(q.of("baton_queued_requests"), "tenant"), EACH),
        ),
        lines(
            "In line now, by priority",
            "High is below 0, low above.",
            "none",
            Query(q.total(q.of("baton_queued_requests"), "priority"), "{{priority}}"),
        ),
        lines(
            "Sent away",
            "Per second and tenant. No line: nobody was.",
            "reqps",
            Query(q.rate("baton_tenant_refused_total", "tenant"), EACH),
            width=HALF,
        ),
        lines(
            "Why they were sent away",
            "Per second: a limit of the tenant's own, or a line that is full for all.",
            "reqps",
            Query(q.rate("baton_tenant_refused_total", "reason"), "{{reason}}"),
            width=HALF,
        ),
    ]
