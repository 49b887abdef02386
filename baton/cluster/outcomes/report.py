"""A run in words and in JSON. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from baton.cluster.outcomes.outcome import Objectives
from baton.cluster.outcomes.spread import Spread
from baton.cluster.outcomes.summary import LATE, Summary


def as_text(
    all_of_it: Summary, tenants: Mapping[str, Summary], objectives: Objectives
) -> list[str]:
    lines = _lines(all_of_it, objectives)
    for name, one in tenants.items():
        lines += ["", f"tenant {name}", *_lines(one, objectives)]
    return lines


def as_json(summary: Summary) -> dict[str, Any]:
    """Times in seconds."""
    return {
        **asdict(summary),
        "good_share": summary.good_share,
        "good_per_second": summary.good_per_second,
        "output_per_second": summary.output_per_second,
    }


def _lines(one: Summary, objectives: Objectives) -> list[str]:
    counts = [f"{one.requests} in {one.seconds:.1f} s", f"{one.done} done"]
    counts += [
        f"{count} {word}"
        for count, word in ((one.refused, "refused"), (one.failed, "failed"), (one.cut, "cut off"))
        if count
    ]
    cached = "" if one.cached_share is None else f", {one.cached_share:.1%} of it cached"
    lines = [
        f"requests    {', '.join(counts)}",
        f"tokens      {one.input_tokens} in{cached}; {one.output_tokens} out, "
        f"{one.output_per_second:.1f} per second",
        f"TTFT        {_times(one.ttft)}",
        f"ITL         {_times(one.itl)}",
        f"per token   {_times(one.token)}",
        f"end to end  {_times(one.e2e)}",
        f"goodput     {_goodput(one, objectives)}",
    ]
    if one.retry_after is not None:
        lines.append(f"refusals    {_refusals(one, one.retry_after)}")
    if one.late:
        lines.append(
            f"late        {one.late} were sent more than {LATE * 1e3:.0f} ms behind their time, the "
            f"latest {one.latest:.2f} s"
        )
    return lines + [f"error       {count} x {what}" for what, count in one.errors.items()]


def _goodput(one: Summary, objectives: Objectives) -> str:
    wanted = [
        f"{name} <= {limit * 1e3:g} ms"
        for name, limit in (("TTFT", objectives.ttft), ("ITL", objectives.itl))
        if limit is not None
    ]
    return f"{one.good_per_second:.2f} requests per second, {one.good_share:.1%} of all, " + (
        f"with {' and '.join(wanted)}" if wanted else "without an objective: all that were done"
    )


def _refusals(one: Summary, told: Spread) -> str:
    line = "".join(f"{count} {reason}, " for reason, count in one.reasons.items())
    line += f"Retry-After median {told.p50:g} s, at most {told.max:g} s"
    if one.came_back:
        line += (
            f"; {one.came_back} came back as they were told, {one.came_back_once} of them "
            f"({one.came_back_once / one.came_back:.1%}) got in at the first try"
        )
    return line


def _times(times: Spread | None) -> str:
    if times is None:
        return "-"
    return "  ".join(
        f"{name} {_milliseconds(value)}"
        for name, value in (
            ("p50", times.p50),
            ("p90", times.p90),
            ("p95", times.p95),
            ("p99", times.p99),
            ("max", times.max),
        )
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 10 else f"{seconds:.1f} s"
