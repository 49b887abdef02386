"""Line charts as SVG: enough to look at a run, without a library to install. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 460, 300  # of a panel, pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 34, 42
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    points: Points


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    across: str  # what the x axis is
    lines: Sequence[Line]
    logarithmic: bool = False  # the x axis; points at 0 or below are left out
    limit: float | None = None  # a line across it, at this x


def page(panels: Sequence[Panel], columns: int = 2) -> str:
    rows = math.ceil(len(panels) / columns)
    width, height = columns * _WIDTH, rows * _HEIGHT
    drawn = [
        f'<g transform="translate({at % columns * _WIDTH} {at // columns * _HEIGHT})">'
        f"{_panel(panel)}</g>"
        for at, panel in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    begin: float  # pixels
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high = self._turned(self.low), self._turned(self.high)
        share = (self._turned(value) - low) / (high - low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = _round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step)
        return [step * at for at in range(first, math.floor(self.high / step) + 1)]

    def _turned(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def _panel(panel: Panel) -> str:
    lines = [
        Line(line.label, [p for p in line.points if p[0] > 0 or not panel.logarithmic])
        for line in panel.lines
    ]
    points = [point for line in lines for point in line.points]
    title = f'<text x="{_LEFT}" y="20" font-size="13">{escape(panel.title)}</text>'
    if not points:
        return f'{title}<text x="{_LEFT}" y="60" fill="#777">nothing to show</text>'
    xs = [x for x, _ in points] + ([panel.limit] if panel.limit else [])
    across = _Axis(*_range(xs, panel.logarithmic), _LEFT, _WIDTH - _RIGHT, panel.logarithmic)
    up = _Axis(0, max(y for _, y in points) * 1.05 or 1, _HEIGHT - _BOTTOM, _TOP)
    parts = [title, _frame(across, up), _label(panel.across)]
    if panel.limit:
        x = across.at(panel.limit)
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" '
            'stroke="#777" stroke-dasharray="4 3"/>'
        )
    for number, line in enumerate(lines):
        parts.append(_curve(line, number, across, up))
    return "".join(parts)


def _range(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if logarithmic:
        return 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9)
    return (low, high) if high > low else (low - 1, high + 1)


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next((m * power for m in (1.0, 2.0, 5.0) if m * power >= least), 10 * power)


def _frame(across: _Axis, up: _Axis) -> str:
    parts = []
    for value in up.ticks():
        y = up.at(value)
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#e4e4e4"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for value in across.ticks():
        x = across.at(value)
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" '
            'stroke="#e4e4e4"/>'
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{value:g}</text>'
        )
    return "".join(parts)


def _label(text: str) -> str:
    return f'<text x="{_LEFT}" y="{_HEIGHT - 10}" fill="#555">{escape(text)}</text>'


def _curve(line: Line, number: int, across: _Axis, up: _Axis) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line.points)
    y = _TOP + 12 + 14 * number
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        f'<text x="{_WIDTH - _RIGHT - 4}" y="{y}" text-anchor="end" fill="{colour}">'
        f"{escape(line.label)}</text>"
    )
