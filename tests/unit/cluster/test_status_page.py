"""The tables of `baton status`."""

from typing import Any

import pytest

from baton.cluster.status_page import size, table


def worker(**changes: Any) -> dict[str, Any]:
    return {
        "id": "prefill-0",
        "role": "prefill",
        "state": "ready",
        "pid": 41,
        "restarts": 3,
        "address": "127.0.0.1:5000",
        "running": 2,
        "waiting": 0,
        "kv_usage": 0.125,
        "free_blocks": 7,
        "total_blocks": 8,
        "leased_blocks": 1,
        "reserved_blocks": 0,
    } | changes


def test_each_worker_is_a_row_under_its_titles() -> None:
    headline, titles, row = table({"model": "tiny", "workers": [worker()], "queued": 3})
    assert headline == "tiny: 1 worker, 3 queued"
    assert titles.split()[:4] == ["ID", "ROLE", "STATE", "PID"]
    assert row.split() == [
        *("prefill-0", "prefill", "ready", "41", "3", "127.0.0.1:5000"),
        *("2", "0", "12%", "7/8", "1", "0"),
    ]


def test_columns_are_aligned() -> None:
    lines = table({"model": "m", "queued": 0, "workers": [worker(), worker(id="decode-11-long")]})
    assert len({line.index("prefill ") for line in lines[2:] if "prefill " in line[14:]}) <= 1
    assert lines[1].index("ROLE") == lines[3].index("prefill")


def test_what_is_not_known_yet_is_a_dash() -> None:
    row = table({"model": "m", "queued": 0, "workers": [worker(kv_usage=None, running=None)]})[2]
    assert row.split()[6:9] == ["-", "0", "-"]


def test_a_cluster_without_workers_is_one_line() -> None:
    assert table({"model": "m", "workers": [], "queued": 0}) == ["m: 0 workers, 0 queued"]


def test_a_worker_that_cannot_be_used_is_followed_by_the_reason() -> None:
    odd = worker(id="decode-1", state="unusable", reason="its tokenizer is not the gateway's")
    lines = table({"model": "m", "queued": 0, "workers": [worker(reason=None), odd]})
    assert lines[4:] == ["decode-1 cannot be used: its tokenizer is not the gateway's"]


def test_links_and_priorities_follow_where_there_are_any() -> None:
    link = {
        "from": "prefill-0",
        "to": "decode-0",
        "transport": "shm",
        "bytes_per_second": 2048,
        "bytes": 5 << 20,
        "transfers": 7,
    }
    line = {"priority": -1, "queued": 2, "running": 3}
    page = {"model": "m", "queued": 2, "workers": [worker()], "links": [link]}
    lines = table({**page, "priorities": [line]})
    assert lines[3:5] == ["", "FROM       TO        BY   NOW      MOVED  TRANSFERS"]
    assert lines[5].split() == [
        *("prefill-0", "decode-0", "shm"),
        *("2", "KiB/s", "5", "MiB", "7"),
    ]
    assert lines[6:8] == ["", "PRIORITY  QUEUED  RUNNING"]
    assert lines[8].split() == ["-1", "2", "3"]
    assert len(table({**page, "links": [], "priorities": []})) == 3


@pytest.mark.parametrize(
    ("num_bytes", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (300 << 20, "300 MiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes_are_said_in_the_largest_unit_that_fits(num_bytes: int, said: str) -> None:
    assert size(num_bytes) == said


def test_several_models_are_a_row_each_and_workers_name_theirs() -> None:
    model = {"name": "a", "takes_requests": True, "queued": 2, "max_model_len": 64, "root": "/a"}
    away = {**model, "name": "b", "takes_requests": False, "max_model_len": None, "root": "/b"}
    workers = [worker(served_model="a"), worker(id="stray", served_model=None)]
    lines = table({"model": "/a", "models": [model, away], "workers": workers, "queued": 2})
    assert lines[0] == "2 models: 2 workers, 2 queued"
    assert [line.split() for line in lines[2:5]] == [
        ["MODEL", "TAKES", "REQUESTS", "QUEUED", "LENGTH", "FOLDER"],
        ["a", "yes", "2", "64", "/a"],
        ["b", "no", "2", "-", "/b"],
    ]
    assert [line.split()[:3] for line in lines[6:]] == [
        ["ID", "MODEL", "ROLE"],
        ["prefill-0", "a", "prefill"],
        ["stray", "-", "prefill"],
    ]
