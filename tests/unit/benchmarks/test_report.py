"""How a run is shown."""

import io
import json

from benchmarks.measures import Ratio, Sample, summarise
from benchmarks.report import Progress, as_json, comparison, text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_times_are_shown_in_milliseconds() -> None:
    lines = text(summarise([Sample(0.0, 0.5, (0.25, 0.5), 10, 2)]))
    assert lines[0] == "requests    1, 0 errors, 0.50 s"
    assert lines[3] == "TTFT        median 250.00 ms, p99 250.00 ms"


def test_errors_are_named_and_counted() -> None:
    lines = text(summarise([Sample(0.0, 1.0, error="503: full")] * 2))
    assert lines[3] == "TTFT        -"
    assert lines[-1] == "error       2 x 503: full"


def test_a_comparison_shows_its_range() -> None:
    assert comparison({"ttft": Ratio(0.5, 0.4, 0.75, 3)}) == [
        "A/B TTFT             0.500 (0.400 to 0.750, 3 rounds)"
    ]


def test_a_summary_is_json() -> None:
    summary = summarise([Sample(0.0, 1.0, (0.5,), 3, 1), Sample(0.0, 1.0, error="500")])
    found = json.loads(json.dumps(as_json(summary)))
    assert found["errors"] == {"500": 1}
    assert found["ttft"] == {"median": 0.5, "p99": 0.5, "count": 1}
    assert found["output_tokens_per_second"] == 1.0


def test_the_bar_fills_up_on_a_terminal() -> None:
    out = Terminal()
    bar = Progress("requests", 2, out)
    bar.tick()
    bar.tick()
    assert out.getvalue().endswith(f"\rrequests [{'#' * 30}] 2/2\n")


def test_nothing_is_drawn_where_nobody_looks() -> None:
    out = io.StringIO()
    Progress("requests", 1, out).tick()
    assert out.getvalue() == ""
