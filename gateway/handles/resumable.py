"""One answer that can be gone on with: from a handle, and by the handles that it gives."""

from collections.abc import Iterable
from dataclasses import replace

from baton.core.token_record import TokenRecord
from gateway.handles.resume_handle import Begun, ResumeHandles
from gateway.job import Job
from gateway.output import Delta
from gateway.output.told_so_far import Behind

FIRST_GAP = 16  # tokens between two handles of a stream, at least, and a quarter of the answer


class Resumable:
    """Give `new` what the workers told and what came of it, step by step."""

    def __init__(
        self, job: Job, handles: ResumeHandles, model: str, again: Iterable[Delta]
    ) -> None:
        """`again`: what the tokens of the handle make, which the client has."""
        self._job = job
        self._handles = handles
        self._model = model
        self._gives = job.wishes.gives_handles
        self._behind = Behind(job.told)
        self._told = job.told
        self._tokens = list(job.answered)
        self._next = 0  # tokens, for the next handle of a stream
        for delta in again:
            self._behind.cut(delta)

    def new(self, records: Iterable[TokenRecord], deltas: list[Delta]) -> list[Delta]:
        """What the client does not have."""
        if not self._gives:
            return deltas
        self._tokens += [record.token_id for record in records]
        new = [self._behind.cut(delta) for delta in deltas]
        self._told = self._told.plus(new)
        return new

    def with_handle(self, deltas: list[Delta]) -> list[Delta]:
        """The last of them carries a handle, if one is due."""
        if not self._gives or not deltas or len(self._tokens) < self._next:
            return deltas
        self._next = len(self._tokens) + max(FIRST_GAP, len(self._tokens) // 4)
        return [*deltas[:-1], replace(deltas[-1], resume=self._sign())]

    def last_handle(self, deltas: Iterable[Delta]) -> str | None:
        """For an answer that has ended, though it could go on."""
        cut_off = any(delta.finish_reason == "length" for delta in deltas)
        return self._sign() if self._gives and cut_off else None

    def _sign(self) -> str:
        job, tokens = self._job, tuple(self._tokens)
        begun = Begun(job.request_id, self._model, job.words, job.params.seed, tokens, self._told)
        return self._handles.sign(begun, job.tenant)
