"""One prompt with its answers as a beginning of prompts to come: who may have it, who has it now."""

from collections.abc import Callable, Iterable, Sequence

from baton.core.block_hashes import Hashing
from baton.core.worker_info import WorkerInfo
from gateway.candidate import Candidate
from gateway.job import Job
from gateway.prefix_source import Holder, Source, prefix_source
from gateway.recent_answers import RecentAnswers


class Conversation:
    """Of one attempt. The prompt is hashed once, when it is first needed."""

    def __init__(
        self,
        job: Job,
        decode: WorkerInfo,
        answers: RecentAnswers,
        candidates: Callable[[], Iterable[Candidate]],
    ) -> None:
        """`decode` writes the answer."""
        self._job = job
        self._decode = decode
        self._answers = answers
        self._candidates = candidates
        self._block_size = decode.fingerprint.layout.block_size
        hashing = Hashing(decode.fingerprint.digest(), self._block_size)
        self._chain = hashing.chain(job.cache_salt, job.tenant, images=job.spans)

    def source(self, prefill: WorkerInfo) -> Source | None:
        """Where `prefill` may get the prompt's beginning from. Scores of a prompt are computed from
        its first token on, so such a prompt needs none.
        """
        if self._job.params.prompt_logprobs is not None:
            return None
        known = self._job.prompt + self._job.answered
        names = self._chain.names(known, (len(known) - 1) // self._block_size)
        held = self._answers.held(names)
        holders = [
            Holder(candidate, held[candidate.info.instance_id] * self._block_size)
            for candidate in self._candidates()
            if candidate.info.instance_id in held
        ]
        return prefix_source(prefill, holders)

    def written(self, answers: Iterable[Sequence[int]]) -> None:
        """The decode worker has prompt and answer, but for its last token. Of a search nothing
        stays but the prompt.
        """
        if self._job.params.beam is not None:
            answers = ((),)
        prompt = self._job.prompt
        self._chain.names(prompt, len(prompt) // self._block_size)  # once for all answers
        for answer in answers:
            known = prompt + tuple(answer)
            count = (len(known) - bool(answer)) // self._block_size
            names = self._chain.copy().names(known, count)
            self._answers.note(self._decode.instance_id, names)
