"""The workers that one attempt was given."""

from collections.abc import Callable
from dataclasses import dataclass

from baton.core.worker_info import WorkerInfo
from gateway.members.worker import Worker
from gateway.placing.claims import Claim
from gateway.placing.forecast import Forecast
from gateway.prefixes.prefix_book import Admitted
from gateway.prefixes.prefix_source import Source

Lender = Callable[[WorkerInfo], Source | None]  # to whom a prefill worker, by what is known then


def _nobody_lends(_: WorkerInfo) -> None:
    """For an attempt in which no prefill worker reads."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Workers of one attempt. Each was taken, and must be given back once."""

    decode: Worker
    prefill: Worker | None  # None: decode reads the prompt itself
    admitted: Admitted  # is told what whoever reads the prompt had of it
    unread: int = 0  # tokens that whoever reads the prompt is expected to compute
    forecast: Forecast | None = None  # None: it goes on with what another worker had
    claim: Claim | None = None  # of the decode worker
    lender: Lender = _nobody_lends  # of the prompt's beginning
    encode: Worker | None = None  # None: whoever reads the prompt encodes its images, if it has any

    def give_back(self) -> None:
        """For an attempt that never began."""
        if self.encode is not None:
            self.encode.give_back()
        if self.prefill is None:
            self.decode.give_back(unread=self.unread, claim=self.claim)
            return
        self.decode.give_back(claim=self.claim)
        self.prefill.give_back(unread=self.unread)
