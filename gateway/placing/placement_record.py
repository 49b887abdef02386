"""Why one request went where it went, and what came of it: for its client to read afterwards. Pure."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.placing.forecast import Forecast
from gateway.placing.objectives import Objectives
from gateway.placing.placement import Option, Pair

if TYPE_CHECKING:
    from gateway.reading import Reading

MOST_TOLD = 6  # placements of a decision, the chosen one first
MOST_TRIES = 32  # of one request
HEADER = "x-baton-placement"


@dataclass(frozen=True, slots=True)
class Try:
    """One placement of one prompt. What it refers to changes as the request goes on."""

    prompt: int  # index among the request's prompts
    number: int  # of the attempt
    prompt_tokens: int  # read, with those of the answer that were there already
    forecast: Forecast
    reading: "Reading"


@dataclass(slots=True, eq=False)
class PlacementRecord:
    """Of one HTTP request. Grows by each placement, up to a limit."""

    request_id: str  # as the client knows it
    tenant: str
    objectives: Objectives
    model: str = ""  # as clients call it
    prompts: dict[str, int] = field(default_factory=dict)  # index, by the jobs' request ids
    tries: list[Try] = field(default_factory=list)

    def add(
        self, job_id: str, number: int, prompt_tokens: int, forecast: Forecast, reading: "Reading"
    ) -> None:
        index = self.prompts.setdefault(job_id, len(self.prompts))
        if len(self.tries) < MOST_TRIES:
            self.tries.append(Try(index, number, prompt_tokens, forecast, reading))

    @property
    def header(self) -> str | None:
        """Of the answer: where its first prompt is, by now. None: nowhere yet."""
        mine = [one for one in self.tries if one.prompt == 0]
        if not mine:
            return None
        reading = mine[-1].reading
        said = {
            "encode": reading.encode_worker,
            "prefill": reading.prefill_worker,
            "decode": reading.decode_worker,
            "reason": reading.reason,
        }
        return "; ".join(f"{key}={value}" for key, value in said.items() if value is not None)

    def told(self) -> dict[str, object]:
        return {
            "id": self.request_id,
            "object": "placement",
            "model": self.model,
            "objectives": {
                "ttft_ms": _finite_ms(self.objectives.ttft),
                "itl_ms": _finite_ms(self.objectives.itl),
            },
            "attempts": [_try(one) for one in self.tries],
        }


class PlacementHistory:
    """Of the latest requests."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: OrderedDict[tuple[str, str], PlacementRecord] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def note(self, record: PlacementRecord) -> None:
        """Of requests that a client gave the same id, the latest is kept."""
        key = record.tenant, record.request_id
        self._records[key] = record
        self._records.move_to_end(key)
        while len(self._records) > self._most:
            self._records.popitem(last=False)

    def find(self, tenant: str, request_id: str) -> PlacementRecord | None:
        return self._records.get((tenant, request_id))


def _try(one: Try) -> dict[str, object]:
    forecast, actual = one.forecast, one.forecast.actual
    decision = forecast.decision
    predicted = decision.options[0]
    return {
        "prompt": one.prompt,
        "attempt": one.number,
        "prompt_tokens": one.prompt_tokens,
        "encode_worker": one.reading.encode_worker,
        "prefill_worker": one.reading.prefill_worker,
        "decode_worker": one.reading.decode_worker,
        "reason": decision.reason,
        "considered": decision.considered,
        "candidates": [_option(option) for option in decision.options[:MOST_TOLD]],
        "predicted": {
            "ttft_ms": _ms(predicted.terms.ttft),
            "itl_ms": _ms(predicted.terms.itl),
            "exposed_ms": _ms(predicted.terms.transfer),
            "cached_tokens": predicted.cached,
        },
        "actual": {
            "ttft_ms": _ms(actual.ttft),
            "itl_ms": _ms(forecast.itl),
            "exposed_ms": _ms(actual.exposed),
            "cached_tokens": actual.cached_tokens,
        },
    }


def _option(option: Option) -> dict[str, object]:
    placement, terms = option.placement, option.terms
    return {
        "prefill_worker": placement.prefill.worker_id if isinstance(placement, Pair) else None,
        "decode_worker": placement.decode.worker_id,
        "cached_tokens": option.cached,
        "terms": {
            "wait_ms": _ms(terms.wait),
            "read_ms": _ms(terms.read),
            "calls_ms": _ms(terms.calls),
            "exposed_ms": _ms(terms.transfer),
            "seat_ms": _ms(terms.seat),
            "itl_ms": _ms(terms.itl),
            "answer_tokens": round(terms.answer, 1),
            "others_ms": _ms(terms.others),
        },
        "ttft_ms": _ms(terms.ttft),
        "total_ms": _ms(terms.total),
        "misses_objectives": terms.misses,
        "doubts": terms.doubt,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)


def _finite_ms(seconds: float) -> float | None:
    return None if seconds == float("inf") else _ms(seconds)
