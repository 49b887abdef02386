"""Traces that are made up: `poisson:rate=4,in=512,out=64,seconds=60` and the like. Pure."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, count

from baton.cluster.traces.trace import Piece, Trace, TraceRequest
from baton.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Word:
    """One name=value of a kind of trace."""

    default: float
    means: str
    least: float | None = None  # None: anything greater than 0
    whole: bool = False


_LENGTHS = {
    "in": Word(512, "tokens of a prompt", 1, True),
    "out": Word(64, "tokens of an answer", 1, True),
    "spread": Word(0, "of lengths around these means: 0 for none, 1 for a wide log-normal", 0),
}
_TIMES = {
    "rate": Word(2, "requests per second, on average"),
    "seconds": Word(60, "until the last request may come"),
}
KINDS: dict[str, dict[str, Word]] = {
    "poisson": {**_TIMES, **_LENGTHS},
    "bursts": {
        **_TIMES,
        "peak": Word(4, "times the rate, in a burst", 1),
        "every": Word(30, "seconds from one burst to the next"),
        "lasting": Word(5, "seconds that a burst takes"),
        **_LENGTHS,
    },
    "shared-prefix": {
        **_TIMES,
        "prefixes": Word(8, "different beginnings", 1, True),
        "prefix": Word(2048, "tokens of a beginning", 1, True),
        "skew": Word(1, "how much more popular the first is than the last (Zipf's)", 0),
        **_LENGTHS,
    },
    "multi-turn": {
        "rate": Word(0.5, "conversations that begin per second, on average"),
        "seconds": Word(60, "until the last conversation may begin"),
        "turns": Word(4, "questions in a conversation", 1, True),
        "think": Word(10, "seconds from one question to the next, on average"),
        "system": Word(512, "tokens that all conversations begin with", 1, True),
        **_LENGTHS,
    },
}

MOST = 10_000_000  # requests of a trace; they are all made before the first is sent

Values = dict[str, float]


def make_trace(spec: str, seed: int) -> Trace:
    """Raises SettingsError with what is wrong in it. Equal seeds make equal traces."""
    kind, _, text = spec.partition(":")
    values = _values(kind, text)
    expected = values["rate"] * values["seconds"] * values.get("peak", 1) * values.get("turns", 1)
    if expected > MOST:
        raise SettingsError(
            f"{spec} makes more than {MOST:,} requests: fewer seconds or a lower rate"
        )
    requests = sorted(_MAKERS[kind](values, random.Random(f"{kind}/{seed}")), key=lambda r: r.at)
    if not requests:
        raise SettingsError(f"{spec} makes no request at all: more seconds or a higher rate")
    return Trace(spec, tuple(requests))


def _values(kind: str, text: str) -> Values:
    words = KINDS[kind]
    values = {name: word.default for name, word in words.items()}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or name not in words:
            known = ", ".join(f"{known}={word.default:g}" for known, word in words.items())
            raise SettingsError(f"{kind}: does not know {part!r}; it knows {known}")
        values[name] = _value(kind, name, value)
    return values


def _value(kind: str, name: str, text: str) -> float:
    word = KINDS[kind][name]
    try:
        value = float(text)
    except ValueError as error:
        raise SettingsError(f"{kind}: {name} must be a number, not {text!r}") from error
    enough = value > 0 if word.least is None else value >= word.least
    if not enough or math.isinf(value) or (word.whole and value != int(value)):
        kind_of = "a whole number" if word.whole else "a number"
        least = "greater than 0" if word.least is None else f"{word.least:g} or more"
        raise SettingsError(f"{kind}: {name} ({word.means}) must be {kind_of}, {least}")
    return value


def _poisson(values: Values, draw: random.Random) -> Iterator[TraceRequest]:
    for content, at in enumerate(_arrivals(values["rate"], values["seconds"], draw)):
        tokens = _length(values, "in", draw)
        yield TraceRequest(at, (Piece(content, tokens),), _length(values, "out", draw))


def _bursts(values: Values, draw: random.Random) -> Iterator[TraceRequest]:
    """A Poisson process at the peak, thinned between bursts. `rate` is that between them."""
    peak, every, lasting = values["peak"], values["every"], values["lasting"]
    for content, at in enumerate(_arrivals(values["rate"] * peak, values["seconds"], draw)):
        kept = draw.random() < 1 / peak  # drawn in any case: a burst must not shift what follows
        if kept or at % every >= every - lasting:
            tokens = _length(values, "in", draw)
            yield TraceRequest(at, (Piece(content, tokens),), _length(values, "out", draw))


def _shared_prefix(values: Values, draw: random.Random) -> Iterator[TraceRequest]:
    prefixes = int(values["prefixes"])
    weights = list(accumulate((rank + 1) ** -values["skew"] for rank in range(prefixes)))
    for own, at in enumerate(_arrivals(values["rate"], values["seconds"], draw), prefixes):
        [prefix] = draw.choices(range(prefixes), cum_weights=weights)
        pieces = Piece(prefix, int(values["prefix"])), Piece(own, _length(values, "in", draw))
        yield TraceRequest(at, pieces, _length(values, "out", draw))


def _multi_turn(values: Values, draw: random.Random) -> Iterator[TraceRequest]:
    """A turn's prompt is all that was said before, answers included, and a question."""
    contents = count(1)
    for session, begin in enumerate(_arrivals(values["rate"], values["seconds"], draw)):
        at, said = begin, [Piece(0, int(values["system"]))]
        for _ in range(int(values["turns"])):
            said.append(Piece(next(contents), _length(values, "in", draw)))
            answer = _length(values, "out", draw)
            yield TraceRequest(at, tuple(said), answer, session)
            said.append(Piece(next(contents), answer))
            at += draw.expovariate(1 / values["think"])


def _arrivals(rate: float, seconds: float, draw: random.Random) -> Iterator[float]:
    at = draw.expovariate(rate)
    while at < seconds:
        yield at
        at += draw.expovariate(rate)


def _length(values: Values, name: str, draw: random.Random) -> int:
    mean, sigma = values[name], values["spread"]
    if not sigma:
        return int(mean)
    return max(1, round(mean * draw.lognormvariate(-sigma * sigma / 2, sigma)))


_MAKERS: dict[str, Callable[[Values, random.Random], Iterator[TraceRequest]]] = {
    "poisson": _poisson,
    "bursts": _bursts,
    "shared-prefix": _shared_prefix,
    "multi-turn": _multi_turn,
}
