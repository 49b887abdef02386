"""The table of `baton status`."""

from typing import Any

from baton.cluster.status_page import table


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
