"""The gateway's GET /status: fetched and shown as a table."""

from typing import Any

from baton.cluster.api_client import ApiClient
from baton.core.errors import UnavailableError


def fetch_status(client: ApiClient) -> dict[str, Any]:
    """Raises UnavailableError with a sentence when there is no gateway."""
    status = client.get("/status")
    if not isinstance(status, dict) or not isinstance(status.get("workers"), list):
        raise UnavailableError(
            f"the server at {client.url} is no baton gateway: it lists no workers"
        )
    return status


def table(status: dict[str, Any]) -> list[str]:
    """Lines for a terminal: the cluster, one row per worker, then why some cannot be used."""
    workers = status["workers"]
    many = "worker" if len(workers) == 1 else "workers"
    headline = (
        f"{status.get('model', '?')}: {len(workers)} {many}, {status.get('queued', 0)} queued"
    )
    if not workers:
        return [headline]
    rows = _aligned([_TITLES, *map(_row, workers)])
    reasons = [f"{w.get('id')} cannot be used: {w['reason']}" for w in workers if w.get("reason")]
    return [headline, *rows, *reasons]


_TITLES = (
    *("ID", "ROLE", "STATE", "PID", "RESTARTS", "ADDRESS", "RUNNING", "WAITING"),
    *("KV USED", "FREE/BLOCKS", "LEASED", "RESERVED"),
)


def _row(worker: dict[str, Any]) -> tuple[str, ...]:
    def text(name: str) -> str:
        value = worker.get(name)
        return "-" if value is None else str(value)

    usage = worker.get("kv_usage")
    next_role = worker.get("next_role")
    return (
        *map(text, ("id", "role")),
        f"to {next_role}" if next_role else text("state"),
        *map(text, ("pid", "restarts", "address", "running", "waiting")),
        "-" if usage is None else f"{usage:.0%}",
        f"{text('free_blocks')}/{text('total_blocks')}",
        *map(text, ("leased_blocks", "reserved_blocks")),
    )


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
