"""Traces that others have published: Mooncake's JSON lines and Azure's CSV."""

import json
import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from baton.cluster.traces.trace import Piece, Trace, TraceRequest
from baton.core.errors import SettingsError

BLOCK = 512  # tokens that one of Mooncake's hash ids stands for
AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
OWN = 1 << 40  # contents from here on are of one request alone; hash ids are below


def read_trace(path: Path) -> Trace:
    """Raises SettingsError with the number of the line that is wrong."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise SettingsError(f"cannot read the trace {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"the trace {path} is no text") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise SettingsError(f"the trace {path} is empty")
    number, head = numbered[0]
    try:
        if head.lstrip().startswith("{"):
            requests = _in_order(_mooncake(numbered))
        elif tuple(name.strip() for name in head.split(",")) == AZURE:
            requests = _in_order(_azure(numbered[1:]))
        else:
            raise _Wrong(
                number,
                "neither a JSON object, as Mooncake's traces have it, nor Azure's heading "
                + ",".join(AZURE),
            )
    except _Wrong as wrong:
        raise SettingsError(f"{path}, line {wrong.line}: {wrong}") from wrong
    if not requests:
        raise SettingsError(f"the trace {path} has no requests")
    return Trace(path.name, tuple(requests))


class _Wrong(Exception):
    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


def _in_order(requests: Iterable[tuple[int, TraceRequest]]) -> list[TraceRequest]:
    ordered: list[TraceRequest] = []
    for number, request in requests:
        if ordered and request.at < ordered[-1].at:
            raise _Wrong(number, "earlier than the line before; sort the trace by time")
        ordered.append(request)
    return ordered


def _mooncake(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, TraceRequest]]:
    for number, line in lines:
        try:
            said = json.loads(line)
        except ValueError as error:
            raise _Wrong(number, f"no JSON ({error})") from error
        if not isinstance(said, dict):
            raise _Wrong(number, "no JSON object")
        at = _number(number, said, "timestamp") / 1000
        tokens = _count(number, said, "input_length")
        output = _count(number, said, "output_length")
        pieces = _blocks(number, said.get("hash_ids"), tokens)
        yield number, TraceRequest(at, pieces, max(1, output))


def _blocks(line: int, ids: Any, tokens: int) -> tuple[Piece, ...]:
    """Without ids the prompt has nothing in common with any other."""
    if ids is None:
        return (Piece(OWN + line, max(1, tokens)),)
    if not isinstance(ids, list) or not all(type(one) is int and 0 <= one < OWN for one in ids):
        raise _Wrong(line, "hash_ids must be a list of whole numbers from 0 on")
    needed = math.ceil(tokens / BLOCK)
    if len(ids) != needed:
        raise _Wrong(
            line,
            f"{len(ids)} hash_ids for {tokens} input tokens; {needed} blocks of {BLOCK} are needed",
        )
    whole = [Piece(one, BLOCK) for one in ids[: tokens // BLOCK]]
    rest = [Piece(one, tokens % BLOCK) for one in ids[tokens // BLOCK :]]
    return (*whole, *rest) or (Piece(OWN + line, 1),)


def _number(line: int, said: dict[str, Any], name: str) -> float:
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise _Wrong(line, f"{name} must be a number from 0 on, not {json.dumps(value)}")
    return float(value)


def _count(line: int, said: dict[str, Any], name: str) -> int:
    value = said.get(name)
    if type(value) is not int or value < 0:
        raise _Wrong(line, f"{name} must be a whole number from 0 on, not {json.dumps(value)}")
    return value


def _azure(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, TraceRequest]]:
    begin: datetime | None = None
    for number, line in lines:
        fields = line.split(",")
        if len(fields) != len(AZURE):
            raise _Wrong(number, f"{len(fields)} fields instead of {','.join(AZURE)}")
        try:
            at = datetime.fromisoformat(fields[0].strip())
            begin = begin or at
            seconds = (at - begin).total_seconds()
        except (ValueError, TypeError) as error:
            raise _Wrong(number, f"no time: {fields[0]}") from error
        tokens, output = _whole(number, fields[1], AZURE[1]), _whole(number, fields[2], AZURE[2])
        yield number, TraceRequest(seconds, (Piece(OWN + number, max(1, tokens)),), max(1, output))


def _whole(line: int, text: str, name: str) -> int:
    if not text.strip().isdecimal():
        raise _Wrong(line, f"{name} must be a whole number from 0 on, not {text.strip()!r}")
    return int(text)
