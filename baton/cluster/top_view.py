"""What `baton top` shows: the state that the gateway tells of its cluster, as tables. Pure."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from baton.cluster.status_page import several_models, size

State = dict[str, Any]
Cell = str | Text

FEWEST = 3  # requests that are shown on the lowest of screens
BAR = 10  # characters of a worker's KV use
ID = 16  # characters of a request's id
GOOD, BAD, DIM = "green", "red", "dim"
STYLES = {
    **dict.fromkeys(("ready", "done"), GOOD),
    **dict.fromkeys(("draining", "aborted", "queued"), "yellow"),
    **dict.fromkeys(("unreachable", "unusable", "failed"), BAD),
}


def view(state: State, trouble: str = "", height: int | None = None) -> RenderableType:
    """`trouble`: why it is not live, as a sentence. `height`: lines of the screen; None: there is no end."""
    parts: list[RenderableType] = [_headline(state)]
    parts += [Text(plain(sentence), style=BAD) for sentence in _troubles(state, trouble)]
    if models := several_models(state):
        parts += [Text(), _models(models)]
    parts += [Text(), _workers(state)]
    if state["links"]:
        parts += [Text(), _links(state)]
    if state["priorities"]:
        parts += [Text(), _priorities(state)]
    used = sum(part.row_count + 1 if isinstance(part, Table) else 1 for part in parts) + 3
    parts += [Text(), _requests(state, None if height is None else max(FEWEST, height - used))]
    return Group(*parts)


def plain(text: object) -> str:
    """Ids are others' words: none of them may steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def _headline(state: State) -> Text:
    workers = state["workers"]
    ready = sum(worker["state"] == "ready" for worker in workers)
    running, queued = (
        sum(one[name] for one in state["priorities"]) for name in ("running", "queued")
    )
    facts = f"{ready} of {len(workers)} workers ready, {running} running, {queued} queued"
    sent_away = f", {state['refused']} sent away" if state["refused"] else ""
    models = several_models(state)
    shown = f"{len(models)} models" if models else plain(state["model"])
    return Text.assemble((shown, "bold"), f"  {facts}{sent_away}")


def _troubles(state: State, trouble: str) -> list[str]:
    reasons = [f"{w['id']} cannot be used: {w['reason']}" for w in state["workers"] if w["reason"]]
    deaf = [] if state["takes_requests"] else ["no worker takes requests"]
    return [said for said in (trouble, *deaf, state["trouble"], *reasons) if said]


def _workers(state: State) -> Table:
    titles = (
        "WORKER",
        "ROLE",
        "STATE",
        "RUNNING",
        "WAITING",
        "KV USE",
        "READ/S",
        "WRITTEN/S",
        "LENT",
        "RESTARTS",
    )
    rows = [_worker(worker) for worker in state["workers"]]
    if not several_models(state):
        return _table(titles, rows, words=3)
    served = [plain(worker["served_model"] or "-") for worker in state["workers"]]
    rows = [[row[0], name, *row[1:]] for row, name in zip(rows, served, strict=True)]
    return _table((titles[0], "MODEL", *titles[1:]), rows, words=4)


def _models(models: list[State]) -> Table:
    rows: list[list[Cell]] = [
        [
            plain(model["name"]),
            Text("yes", style=GOOD) if model["takes_requests"] else Text("no", style=BAD),
            str(model["queued"]),
        ]
        for model in models
    ]
    return _table(("MODEL", "TAKES REQUESTS", "QUEUED"), rows, words=2)


def _worker(worker: State) -> list[Cell]:
    next_role = worker["next_role"]
    return [
        plain(worker["id"]),
        worker["role"],
        _state(f"to {next_role}" if next_role else worker["state"], worker["state"]),
        _known(worker["running"]),
        _known(worker["waiting"]),
        _usage(worker["kv_usage"]),
        _known(worker["read_per_second"]),
        _known(worker["written_per_second"]),
        _known(worker["leased_blocks"]),
        _known(worker["restarts"]),
    ]


def _usage(usage: float | None) -> Cell:
    if usage is None:
        return "-"
    filled = round(BAR * usage)
    return Text.assemble(("█" * filled, "cyan"), ("░" * (BAR - filled), DIM), f" {usage:>4.0%}")


def _links(state: State) -> Table:
    rows: list[list[Cell]] = [
        [
            f"{plain(link['from'])} → {plain(link['to'])}",
            plain(link["transport"] or "-"),
            f"{size(link['bytes_per_second'])}/s",
            size(link["bytes"]),
            str(link["transfers"]),
            _duration(link["exposed_ms"]),
        ]
        for link in state["links"]
    ]
    return _table(("LINK", "BY", "NOW", "MOVED", "TRANSFERS", "EXPOSED"), rows, words=2)


def _priorities(state: State) -> Table:
    names = ("priority", "queued", "running")
    rows: list[list[Cell]] = [[str(one[name]) for name in names] for one in state["priorities"]]
    return _table(tuple(map(str.upper, names)), rows, words=0)


def _requests(state: State, most: int | None) -> RenderableType:
    if (requests := state.get("requests")) is None:
        return Text("its latest requests are not told: the gateway has --disable-status-page", DIM)
    if not requests:
        return Text("no request yet", DIM)
    titles = ("REQUEST", "STATE", "WHERE", "WHY", "PROMPT", "CACHED", "ANSWER")
    times = ("QUEUE", "PREFILL", "TRANSFER", "DECODE", "IN ALL")
    rows = [_request(one) for one in requests[:most]]
    if not several_models(state):
        return _table((*titles, *times), rows, words=4)
    rows = [
        [row[0], plain(one["model"]), *row[1:]] for row, one in zip(rows, requests, strict=False)
    ]
    return _table((titles[0], "MODEL", *titles[1:], *times), rows, words=5)


def _request(request: State) -> list[Cell]:
    name = plain(request["id"])
    placed = request["placements"][-1] if request["placements"] else None
    return [
        name if len(name) <= ID else f"{name[: ID - 1]}…",
        _state(request["phase"], request["phase"]),
        _where(placed),
        plain((placed and placed["reason"]) or "-"),
        str(request["prompt_tokens"]),
        _known(request["cached_tokens"]),
        str(request["tokens"]),
        *_times(placed),
        _duration(request["ended_ms"]),
    ]


def _where(placed: State | None) -> str:
    if placed is None:
        return "-"
    names = (placed.get("encode_worker"), placed["prefill_worker"], placed["decode_worker"])
    return " → ".join(plain(name) for name in names if name)


def _times(placed: State | None) -> list[Cell]:
    """Of the latest placement, as far as it has come."""
    if placed is None:
        return ["-"] * 4
    moved = placed["transfer"]
    return [
        _between(placed["queued_ms"], placed["placed_ms"]),
        _between(placed["placed_ms"], placed["first_ms"]),
        _between(moved["start_ms"], moved["end_ms"]) if moved else "-",
        _between(placed["first_ms"], placed["last_ms"]),
    ]


def _between(start: float | None, end: float | None) -> str:
    return "-" if start is None or end is None else _duration(end - start)


def _duration(ms: float | None) -> str:
    if ms is None:
        return "-"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


def _known(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _state(shown: str, state: str) -> Text:
    return Text(plain(shown), style=STYLES.get(state, ""))


def _table(titles: Sequence[str], rows: Sequence[Sequence[Cell]], words: int) -> Table:
    """The first `words` columns are text, the others numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for index, title in enumerate(titles):
        justify = "left" if index < words or title == "KV USE" else "right"
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table
