"""What the workers of an attempt tell of how it went, for whoever learns from it or explains it."""

import time

from baton.core.handoff import Handoff
from gateway.call_events import Admitted, ImagesPulled, PrefixPulled, Transferred
from gateway.job import Job
from gateway.members.assignment import Assignment
from gateway.members.worker import Worker
from gateway.prefixes.prefix_source import Source
from gateway.reading import Reading


class AttemptAccount:
    def __init__(self, assignment: Assignment, job: Job) -> None:
        self.forecast = assignment.forecast
        self.admitted_at: float | None = None  # `time.monotonic` when an engine began the prompt
        self.reading = Reading(
            assignment.decode.info.worker_id,
            assignment.prefill.info.worker_id if assignment.prefill else None,
            encode_worker=assignment.encode.info.worker_id if assignment.encode else None,
            reason=assignment.forecast.decision.reason if assignment.forecast else None,
        )
        self._decode = assignment.decode
        self._note_cached = assignment.admitted
        self._prefix_source: str | None = None  # its instance id
        # Else the first token tells nothing of how long the prompt took.
        params = job.params
        self._drawn_now = params.beam is None and params.prompt_logprobs is None

    def lent_by(self, source: Source) -> None:
        """The prompt's beginning is to come from there."""
        self.reading.prefix_from = source.worker.worker_id
        self._prefix_source = source.worker.instance_id

    def tokens(self, count: int) -> None:
        if self.forecast is not None:
            self.forecast.told(count, time.monotonic(), self._drawn_now)

    def admitted(self, event: Admitted) -> None:
        self.reading.cached_tokens = event.num_cached_tokens
        self.admitted_at = time.monotonic()
        if self.forecast is not None:
            self.forecast.admitted(event.num_cached_tokens, self.admitted_at)
        self._note_cached(event.num_cached_tokens, event.kv_number)

    def transferred(self, transfer: Transferred, source: Handoff | None) -> None:
        self.reading.transfer = transfer
        now, exposed = time.monotonic(), transfer.exposed_ms / 1000
        if self.forecast is not None:
            self.forecast.transferred(transfer.bytes, exposed, now)
        if source is not None:
            self._decode.received(
                source.instance_id, transfer.bytes, now, transfer.transport, exposed
            )

    def prefix_pulled(self, pulled: PrefixPulled, reader: Worker) -> None:
        self.reading.prefix = pulled
        if self._prefix_source is not None:
            now = time.monotonic()
            reader.received(self._prefix_source, pulled.bytes, now, pulled.transport)

    def images_pulled(self, pulled: ImagesPulled, reader: Worker, encoder: Worker | None) -> None:
        self.reading.images = pulled
        if encoder is not None and pulled.images:
            now = time.monotonic()
            reader.received(encoder.info.instance_id, pulled.bytes, now, pulled.transport)
