"""How a page is written: Prometheus' text format, whatever else a scraper would take.

OpenMetrics, which Prometheus prefers, has no colon in a name: the library writes `vllm_` for `vllm:`
there, under which no dashboard looks.
"""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def written(registry: CollectorRegistry) -> bytes:
    """All that it has now."""
    return generate_latest(registry)
