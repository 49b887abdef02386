"""What `baton top` prints of a state."""

import io
from typing import Any

from rich.console import Console

from baton.cluster.top_view import view


def worker(**changes: Any) -> dict[str, Any]:
    names = ("running", "waiting", "read_per_second", "written_per_second", "leased_blocks")
    facts = {"id": "p-0", "role": "prefill", "state": "ready", "next_role": None, "reason": None}
    return {**facts, **dict.fromkeys(names, 4), "kv_usage": 0.5, "restarts": 2} | changes


def placed(**changes: Any) -> dict[str, Any]:
    times = {"queued_ms": 0.0, "placed_ms": 10.0, "first_ms": 50.0, "last_ms": 1250.0}
    moved = {"start_ms": 30.0, "end_ms": 53.0}
    names = {"prefill_worker": "p-0", "decode_worker": "d-0", "reason": "least_cost"}
    return {**names, **times, "transfer": moved} | changes


def request(**changes: Any) -> dict[str, Any]:
    facts = {"id": "r1", "phase": "done", "prompt_tokens": 70, "cached_tokens": 16, "tokens": 9}
    return {**facts, "ended_ms": 1300.0, "placements": [placed()]} | changes


def state(**changes: Any) -> dict[str, Any]:
    facts = {"model": "demo", "takes_requests": True, "trouble": None, "refused": 0}
    lists = {"workers": [worker()], "links": [], "priorities": [], "requests": [request()]}
    return {**facts, **lists} | changes


def printed(shown: dict[str, Any], **options: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as capture:
        console.print(view(shown, **options))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_worker_and_a_request_are_a_row_each_under_their_titles() -> None:
    headline, _, titles, row, _, more_titles, one = printed(state())
    assert headline == "demo  1 of 1 workers ready, 0 running, 0 queued"
    assert titles.split()[:3] == ["WORKER", "ROLE", "STATE"]
    assert row.split() == [
        *("p-0", "prefill", "ready", "4", "4", "█████░░░░░", "50%", "4", "4", "4", "2"),
    ]
    assert more_titles.split()[-6:] == ["QUEUE", "PREFILL", "TRANSFER", "DECODE", "IN", "ALL"]
    assert one.split() == [
        *("r1", "done", "p-0", "→", "d-0", "least_cost", "70", "16", "9"),
        *("10", "ms", "40", "ms", "23", "ms", "1.20", "s", "1.30", "s"),
    ]


def test_links_and_priorities_are_there_when_there_are_any() -> None:
    link = {"from": "p", "to": "d", "transport": "tcp", "bytes_per_second": 10, "bytes": 20}
    lines = printed(
        state(
            links=[{**link, "transfers": 1, "exposed_ms": None}],
            priorities=[{"priority": 0, "queued": 2, "running": 5}],
        )
    )
    assert lines[0].endswith("5 running, 2 queued")
    [row] = [line for line in lines if line.startswith("p → d")]
    assert row.split()[3:] == ["tcp", "10", "B/s", "20", "B", "1", "-"]
    assert ["0", "2", "5"] in [line.split() for line in lines]


def test_what_is_not_known_yet_is_a_dash() -> None:
    waiting = request(phase="queued", placements=[], cached_tokens=None, ended_ms=None)
    unheard = worker(kv_usage=None, running=None, state="unreachable")
    lines = printed(state(workers=[unheard], requests=[waiting]))
    assert lines[3].split()[2:6] == ["unreachable", "-", "4", "-"]
    assert lines[-1].split() == ["r1", "queued", "-", "-", "70", "-", "9", *"-----"]


def test_troubles_are_sentences_below_the_headline() -> None:
    odd = worker(state="unusable", reason="its tokenizer is another one")
    lines = printed(
        state(workers=[odd], takes_requests=False, trouble="Redis is away", refused=3),
        trouble="the gateway is away",
    )
    assert lines[0].endswith("3 sent away")
    assert lines[1:5] == [
        "the gateway is away",
        "no worker takes requests",
        "Redis is away",
        "p-0 cannot be used: its tokenizer is another one",
    ]


def test_no_name_steers_the_terminal() -> None:
    evil = "\x1b[2J\x07[red]x"
    shown = "\n".join(
        printed(state(requests=[request(id=evil)], workers=[worker(id=evil)], model=evil))
    )
    assert "\x1b" not in shown
    assert shown.count("[red]x") == 3


def test_a_low_screen_has_fewer_requests_and_a_long_id_is_cut() -> None:
    many = state(requests=[request(id=f"{n:040}") for n in range(40)])
    assert sum("done" in line for line in printed(many)) == 40
    assert len(printed(many, height=20)) <= 20
    assert sum("done" in line for line in printed(many, height=5)) == 3
    assert all("0" * 16 not in line for line in printed(many))


def test_a_gateway_that_tells_no_requests_is_no_mistake() -> None:
    shown = state()
    del shown["requests"]
    assert "--disable-status-page" in printed(shown)[-1]


def test_of_several_models_each_is_a_row_and_names_its_workers_and_requests() -> None:
    models = [
        {"name": "a", "takes_requests": True, "queued": 3},
        {"name": "b\x1b", "takes_requests": False, "queued": 0},
    ]
    workers = [worker(served_model="b\x1b"), worker(id="p-1", served_model=None)]
    lines = printed(state(models=models, workers=workers, requests=[request(model="a")]))
    rows = [line.split() for line in lines]
    assert rows[0][:2] == ["2", "models"]
    assert rows[2:5] == [
        ["MODEL", "TAKES", "REQUESTS", "QUEUED"],
        ["a", "yes", "3"],
        ["b\N{REPLACEMENT CHARACTER}", "no", "0"],
    ]
    assert [row[:3] for row in rows[6:9]] == [
        ["WORKER", "MODEL", "ROLE"],
        ["p-0", "b\N{REPLACEMENT CHARACTER}", "prefill"],
        ["p-1", "-", "prefill"],
    ]
    assert [row[:3] for row in rows[10:]] == [["REQUEST", "MODEL", "STATE"], ["r1", "a", "done"]]
