"""Usage per tenant, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter

MOST_NAMES = 200  # tenants that have series of their own; those after them share one
OTHERS = "others"


class TenantMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._names: set[str] = set()

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"baton_tenant_{name}", help, ("tenant", *labels), registry=registry)

        self._requests = counter("requests", "Requests of a tenant that ended.")
        self._prompt = counter("prompt_tokens", "Prompt tokens read for a tenant.")
        self._generated = counter("generation_tokens", "Tokens generated for a tenant.")
        self._refused = counter("refused", "Requests of a tenant sent away, by reason.", "reason")
        self._queued = counter("queue_seconds", "Time its requests waited for room.")

    def ended(self, tenant: str) -> None:
        self._requests.labels(self._name(tenant)).inc()

    def used(self, tenant: str, prompt: int, generated: int) -> None:
        name = self._name(tenant)
        self._prompt.labels(name).inc(prompt)
        self._generated.labels(name).inc(generated)

    def refused(self, tenant: str, reason: str) -> None:
        self._refused.labels(self._name(tenant), reason).inc()

    def queued(self, tenant: str, seconds: float) -> None:
        self._queued.labels(self._name(tenant)).inc(seconds)

    def _name(self, tenant: str) -> str:
        if tenant not in self._names:
            if len(self._names) >= MOST_NAMES:
                return OTHERS
            self._names.add(tenant)
        return tenant
