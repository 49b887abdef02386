"""Takes an answer up where a handle says that it was cut off, or sees to it that it gives handles."""

import logging
from collections.abc import Callable
from dataclasses import replace

from baton.core.errors import RequestError
from gateway.handles.resume_handle import ResumeHandles, digest_of
from gateway.job import Job
from gateway.placing.wishes import wrong
from gateway.schema.common import GenerationRequest

logger = logging.getLogger(__name__)

# Of a request, what says nothing about the text of its answer, or what is told apart.
_ASIDE = {
    *("messages", "prompt", "model", "stream", "stream_options", "return_token_ids", "user"),
    *("request_id", "priority", "seed", "max_tokens", "max_completion_tokens", "echo"),
    "kv_transfer_params",
}


class ResumeDesk:
    def __init__(self, handles: ResumeHandles, model: Callable[[], str]) -> None:
        """`model` gives the digest of the weights that the workers have."""
        self._handles = handles
        self._model = model

    def prepared(self, jobs: list[Job], asked: GenerationRequest) -> list[Job]:
        """Raises RequestError for a handle that does not fit the request."""
        if not jobs or not jobs[0].wishes.gives_handles:
            return jobs
        job = jobs[0]
        if len(jobs) > 1 or job.params.n > 1 or job.params.beam is not None:
            raise wrong("resume", "is for one prompt with one answer that is drawn")
        plan = replace(job.plan, interval=1)  # what a handle covers has been sent
        job = replace(job, plan=plan, words=_words(job, asked))
        return [self._resumed(job, asked) if job.wishes.resume else job]

    def _resumed(self, job: Job, asked: GenerationRequest) -> Job:
        begun = self._handles.open(job.wishes.resume, job.tenant)
        if begun.model != self._model():
            raise wrong("resume", "the answer was begun by another model")
        if begun.words != job.words:
            raise wrong("resume", "the answer was begun for another prompt or other parameters")
        if asked.seed not in (None, -1, begun.seed):
            raise wrong("resume", f"the answer was begun with the seed {begun.seed}")
        if job.params.prompt_logprobs is not None:
            raise wrong("resume", "the prompt's log-probabilities are told where an answer begins")
        if len(begun.tokens) >= job.params.max_tokens:
            raise RequestError(
                f"max_tokens counts the whole answer, of which {len(begun.tokens)} tokens are there; "
                f"{job.params.max_tokens} leave nothing to write",
                "max_tokens",
            )
        logger.info("%s goes on with %s", job.request_id, begun.request_id)
        params = replace(job.params, seed=begun.seed)
        return replace(job, params=params, answered=begun.tokens, told=begun.told)


def _words(job: Job, asked: GenerationRequest) -> str:
    params = replace(job.params, seed=0, max_tokens=1, prompt_logprobs=None)
    ignored = {*(asked.model_extra or ())}
    said = asked.model_dump_json(exclude=_ASIDE | ignored, exclude_none=True)
    ids = ",".join(map(str, job.prompt))
    return digest_of(said, repr(params), ids, job.cache_salt, *job.image_digests)
