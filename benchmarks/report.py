"""A run in words and in JSON."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from benchmarks.measures import Ratio, Spread, Summary

_BAR = 30  # characters


class Progress:
    """A bar on stderr, only where somebody may be looking."""

    def __init__(self, title: str, total: int, out: TextIO = sys.stderr) -> None:
        self._title, self._total, self._out = title, total, out
        self._done = 0
        self._shown = out.isatty()

    def tick(self) -> None:
        self._done += 1
        if self._shown:
            filled = _BAR * self._done // self._total
            bar = "#" * filled + "." * (_BAR - filled)
            end = "\n" if self._done == self._total else ""
            self._out.write(f"\r{self._title} [{bar}] {self._done}/{self._total}{end}")
            self._out.flush()


def text(summary: Summary) -> list[str]:
    errors = sum(summary.errors.values())
    lines = [
        f"requests    {summary.requests}, {errors} errors, {summary.seconds:.2f} s",
        f"tokens      {summary.prompt_tokens} in, {summary.output_tokens} out",
        f"output      {summary.output_tokens_per_second:.1f} tokens/s",
        f"TTFT        {_times(summary.ttft)}",
        f"ITL         {_times(summary.itl)}",
        f"TPOT        {_times(summary.tpot)}",
    ]
    return lines + [f"error       {count} x {what}" for what, count in summary.errors.items()]


def comparison(found: Mapping[str, Ratio]) -> list[str]:
    names = {"output_tokens_per_second": "output tokens/s"}
    return [
        f"A/B {names.get(name) or name.upper().replace('_P', ' p'):<16} {r.median:.3f} "
        f"({r.low:.3f} to {r.high:.3f}, {r.rounds} rounds)"
        for name, r in found.items()
    ]


def as_json(summary: Summary) -> dict[str, Any]:
    """Times in seconds."""
    rate = summary.output_tokens_per_second
    return {**asdict(summary), "errors": dict(summary.errors), "output_tokens_per_second": rate}


def _times(values: Spread | None) -> str:
    if values is None:
        return "-"
    return f"median {values.median * 1e3:.2f} ms, p99 {values.p99 * 1e3:.2f} ms"
