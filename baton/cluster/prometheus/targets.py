"""Where the pages are that are to be scraped, as Prometheus' file_sd reads it. Pure."""

import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from baton.cluster.orchestrator import RunWorker


def worker_pages(known: Mapping[str, str], workers: Iterable[RunWorker]) -> dict[str, str]:
    """By worker id. One that died keeps its old page, which does not answer, until it is there again:
    so it is seen to be down. One that has left has none.
    """
    pages = {worker.worker_id: worker.metrics_url for worker in workers}
    kept = {worker_id: url or known.get(worker_id, "") for worker_id, url in pages.items()}
    return {worker_id: url for worker_id, url in kept.items() if url}


def gateway_targets(url: str) -> str:
    """`url` as the gateway announced it; empty before that."""
    return json.dumps([_group(url, {})] if url else [])


def worker_targets(pages: Mapping[str, str]) -> str:
    groups = [_group(url, {"worker": worker_id}) for worker_id, url in sorted(pages.items())]
    return json.dumps(groups)


def _group(url: str, labels: Mapping[str, str]) -> dict[str, object]:
    parts = urlsplit(url)
    return {"targets": [parts.netloc], "labels": {"__scheme__": parts.scheme, **labels}}
