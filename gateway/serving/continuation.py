"""What is left to do of a request whose workers broke. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.job import Job
from gateway.output import Output
from gateway.serving.token_log import TokenLog


@dataclass(frozen=True, slots=True)
class Part:
    """What one attempt is asked for. `choices` are the request's numbers of the choices that the
    workers know as 0, 1, and so on.
    """

    job: Job
    choices: tuple[int, ...]

    def without(self, choice: int) -> "Part":
        """One of them is not asked for any more."""
        return replace(self, choices=tuple([c for c in self.choices if c != choice]))


def whole(job: Job) -> Part:
    return Part(job, tuple(range(job.params.n)))


def continued(job: Job, choices: Iterable[int], log: TokenLog, output: Output) -> list[Part]:
    """One part per choice that goes on: from behind its last known token, in the place of the first
    choice of a request of its own. What the workers or the text have ended does not go on. Wants a
    prompt that is scored, if that was asked for: it is not scored again.
    """
    open = [c for c in choices if not (log.has_ended(c) or output.has_ended(c))]
    return [Part(_continuing(job, choice, log), (choice,)) for choice in open]


def _continuing(job: Job, choice: int, log: TokenLog) -> Job:
    seed = _as_int64(job.params.seed + choice)  # choice i of seed s is choice 0 of seed s + i
    params = replace(job.params, n=1, seed=seed, prompt_logprobs=None)
    return replace(job, params=params, answered=log.token_ids(choice))


def _as_int64(value: int) -> int:
    """Draws take the seed modulo 2^64, the wire takes it signed."""
    return (value + 2**63) % 2**64 - 2**63
