"""The gateway's GET /status: fetched and shown as tables."""

from typing import Any

from baton.cluster.api_client import ApiClient
from baton.cluster.table import aligned
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
    """Lines for a terminal: the cluster, one row per model where there are several, one per worker,
    why some cannot be used, then one row per link on which something moved, and one per priority of
    which something is under way.
    """
    workers, models = status["workers"], several_models(status)
    many = "worker" if len(workers) == 1 else "workers"
    shown = f"{len(models)} models" if models else status.get("model", "?")
    lines = [f"{shown}: {len(workers)} {many}, {status.get('queued', 0)} queued", *_models(models)]
    if not workers:
        return lines
    rows = [_TITLES, *map(_row, workers)]
    if models:
        served = ["MODEL", *(str(w.get("served_model") or "-") for w in workers)]
        rows = [(row[0], name, *row[1:]) for row, name in zip(rows, served, strict=True)]
    lines += aligned(rows)
    lines += [f"{w.get('id')} cannot be used: {w['reason']}" for w in workers if w.get("reason")]
    return [*lines, *_links(status), *_priorities(status)]


def several_models(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the gateway, if it has more than one."""
    models = status.get("models", [])
    return models if len(models) > 1 else []


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


def _models(models: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            str(model["name"]),
            "yes" if model["takes_requests"] else "no",
            str(model["queued"]),
            str(model["max_model_len"] or "-"),
            str(model["root"]),
        )
        for model in models
    ]
    titles = ("MODEL", "TAKES REQUESTS", "QUEUED", "LENGTH", "FOLDER")
    return ["", *aligned([titles, *rows]), ""] if rows else []


def _links(status: dict[str, Any]) -> list[str]:
    rows = [
        (
            *(str(link[name] or "-") for name in ("from", "to", "transport")),
            f"{size(link['bytes_per_second'])}/s",
            size(link["bytes"]),
            str(link["transfers"]),
        )
        for link in status.get("links", ())
    ]
    titles = ("FROM", "TO", "BY", "NOW", "MOVED", "TRANSFERS")
    return ["", *aligned([titles, *rows])] if rows else []


def _priorities(status: dict[str, Any]) -> list[str]:
    names = ("priority", "queued", "running")
    rows = [tuple(str(one[name]) for name in names) for one in status.get("priorities", ())]
    return ["", *aligned([tuple(map(str.upper, names)), *rows])] if rows else []


def size(num_bytes: float) -> str:
    units = ["TiB", "GiB", "MiB", "KiB", "B"]
    while num_bytes >= 1024 and len(units) > 1:
        num_bytes /= 1024
        units.pop()
    return f"{num_bytes:.0f} {units[-1]}" if num_bytes >= 100 else f"{num_bytes:.3g} {units[-1]}"
