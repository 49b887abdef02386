"""What --enable-log-requests says of each request, prompts included. Nobody else logs a prompt."""

import logging
import time
from collections.abc import Callable, Sequence

from baton.core.token_record import TokenLogprobs
from gateway.answers.answer import PromptAnswer, StreamFormat
from gateway.job import Job
from gateway.output import Delta
from gateway.reading import Reading

logger = logging.getLogger(__name__)


class RequestLog:
    """`longest`: characters of a prompt that are shown; None: all."""

    def __init__(self, on: bool, longest: int | None) -> None:
        self._on = on
        self._longest = longest

    def begin(
        self,
        prompt: Callable[[], str],
        jobs: Sequence[Job],
        user: str | None = None,
    ) -> "Entry | None":
        """`prompt()` is what the client wrote, `user` who it says it is for. None while nothing is
        to be logged.
        """
        if not self._on:
            return None
        tokens = sum(len(job.prompt) for job in jobs)
        shown = self._cut(prompt())
        logger.info(
            "asks%s with %d prompt tokens, %s, prompt %s",
            "" if user is None else f" for {self._cut(user)!r}",
            tokens,
            jobs[0].params,
            shown,
        )
        return Entry()

    def _cut(self, text: str) -> str:
        if self._longest is None or len(text) <= self._longest:
            return text
        return text[: self._longest] + f"... ({len(text)} characters)"


class Entry:
    """One request between its two lines. An answer that breaks off has no second one: its end is
    told by whoever saw it break.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: float | None = None
        self._tokens = 0
        self._reasons: list[str] = []

    def count(self, deltas: Sequence[Delta]) -> None:
        if deltas and self._first is None:
            self._first = time.monotonic()
        self._tokens += sum(delta.num_tokens for delta in deltas)
        self._reasons += [delta.finish_reason for delta in deltas if delta.finish_reason]

    def answered(self, answers: Sequence[PromptAnswer]) -> None:
        """For an answer in one piece."""
        choices = [choice for answer in answers for choice in answer.choices]
        self._tokens = sum(choice.num_tokens for choice in choices)
        self._reasons = [str(choice.finish_reason) for choice in choices]
        self.end()

    def end(self) -> None:
        now = time.monotonic()
        first = (
            "" if self._first is None else f", the first after {self._first - self._began:.3f} s"
        )
        logger.info(
            "answered with %d tokens in %.3f s%s, finish reason %s",
            self._tokens,
            now - self._began,
            first,
            ", ".join(self._reasons) or "none",
        )


class LoggedStream:
    """A stream's format that tells an entry what passes."""

    def __init__(self, format: StreamFormat, entry: Entry) -> None:
        self._format = format
        self._entry = entry

    def push(self, prompt: int, deltas: Sequence[Delta]) -> bytes:
        self._entry.count(deltas)
        return self._format.push(prompt, deltas)

    def cached(self, prompt: int, num_tokens: int | None) -> None:
        self._format.cached(prompt, num_tokens)

    def read(self, prompt: int, reading: Reading) -> None:
        self._format.read(prompt, reading)

    def scored(self, prompt: int, scores: Sequence[TokenLogprobs]) -> None:
        self._format.scored(prompt, scores)

    def end(self) -> bytes:
        self._entry.end()
        return self._format.end()


def logged(format: StreamFormat, entry: Entry | None) -> StreamFormat:
    return format if entry is None else LoggedStream(format, entry)
