"""One request of a replay, from its body to its outcome."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from baton.cluster.api_client import ApiClient
from baton.cluster.http_stream import Answer, ServerError, asked, events
from baton.cluster.outcomes import Fate, Objectives, Outcome
from baton.cluster.replay.target import Target
from baton.cluster.traces.content import Content
from baton.cluster.traces.trace import TraceRequest
from baton.core.errors import UnavailableError
from gateway.errors import REASON_HEADER

PATH = "/v1/completions"
REFUSED = (429, 503, 504)
COME_BACK = 1.0  # seconds, where a refusal does not say when


@dataclass(frozen=True, slots=True)
class Manners:
    """How requests are made, alike for all of them."""

    patience: float  # seconds for one try
    retries: int  # after refusals, each when Retry-After says
    objectives: Objectives


class Sender:
    """`clock` is in seconds since the run's beginning."""

    def __init__(
        self, target: Target, content: Content, manners: Manners, clock: Callable[[], float]
    ) -> None:
        self._target = target
        self._content = content
        self._manners = manners
        self._clock = clock
        self._headers = _headers(manners.objectives)

    def body(self, request: TraceRequest) -> bytes:
        """Prompts are token ids and answers never end early, so both are as long as the trace says."""
        wanted = {
            "model": self._target.model,
            "prompt": self._content.prompt(request.pieces),
            "max_tokens": request.output_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return json.dumps(wanted, separators=(",", ":")).encode()

    async def send(self, body: bytes, wanted: int, key: str, outcome: Outcome) -> None:
        """Fills the outcome in, whatever comes; `wanted` tokens must. Raises only CancelledError."""
        client = replace(self._target.client, key=key)
        outcome.sent = self._clock()
        while True:
            refused = await self._try(client, body, wanted, outcome)
            if not refused or outcome.refusals > self._manners.retries:
                return
            told = outcome.retry_after
            await asyncio.sleep(COME_BACK if told is None else told)

    async def _try(self, client: ApiClient, body: bytes, wanted: int, outcome: Outcome) -> bool:
        """Whether it was refused."""
        outcome.error = None
        try:
            async with (
                asyncio.timeout(self._manners.patience),
                asked(client, "POST", PATH, body, self._headers) as answer,
            ):
                if answer.status in REFUSED:
                    outcome.refusals += 1
                    outcome.retry_after = _seconds(answer.headers.get("retry-after"))
                    outcome.reason = answer.headers.get(REASON_HEADER)
                    outcome.error = await answer.reason()
                elif answer.status != 200:
                    outcome.error = await answer.reason()
                else:
                    await self._read(answer, outcome)
                    outcome.error = _shortage(outcome, wanted)
                    outcome.fate = Fate.FAILED if outcome.error else Fate.DONE
                    return False
                outcome.fate = Fate.REFUSED if answer.status in REFUSED else Fate.FAILED
                return outcome.fate is Fate.REFUSED
        except TimeoutError:
            outcome.error = f"no end within {self._manners.patience:g} s"
        except (UnavailableError, OSError, ValueError) as error:
            outcome.error = str(error) or type(error).__name__
        finally:
            outcome.ended = self._clock()
        outcome.fate = Fate.FAILED
        return False

    async def _read(self, answer: Answer, outcome: Outcome) -> None:
        async for event in events(answer.lines):
            if brings_tokens(event):
                now = self._clock()
                if outcome.last is None:
                    outcome.first = now
                else:
                    outcome.gaps.add(now - outcome.last)
                outcome.last = now
            if usage := event.get("usage"):
                _note_usage(usage, outcome)


def brings_tokens(event: Mapping[str, Any]) -> bool:
    """Whether it is worth a tick: not the closing reason, nor usage alone."""
    return any(one.get("text") or not one.get("finish_reason") for one in event.get("choices", ()))


def _note_usage(usage: Mapping[str, Any], outcome: Outcome) -> None:
    outcome.output_tokens = int(usage.get("completion_tokens", 0))
    details = usage.get("prompt_tokens_details") or {}
    outcome.cached_tokens = details.get("cached_tokens")


def _shortage(outcome: Outcome, wanted: int) -> str | None:
    if outcome.output_tokens == wanted:
        return None
    if not outcome.output_tokens:
        return str(ServerError("the answer has no usage"))
    return f"an answer of {outcome.output_tokens} tokens instead of {wanted}"


def _headers(objectives: Objectives) -> dict[str, str]:
    """So that a cluster that places by objectives hears of them."""
    named = (("x-slo-ttft-ms", objectives.ttft), ("x-slo-itl-ms", objectives.itl))
    return {name: f"{limit * 1e3:g}" for name, limit in named if limit is not None}


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
