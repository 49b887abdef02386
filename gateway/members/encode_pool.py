"""The encode workers of the cluster: who of them gets the images of a request."""

from collections.abc import Collection, Iterable

from baton.core.embeddings import blocks_of, encodes_for
from baton.core.prompt_images import ImageSpan
from baton.core.worker_info import WorkerInfo
from gateway.members.worker import Worker
from gateway.placing.encode_choice import choose


class EncodePool:
    def __init__(self) -> None:
        self.workers: list[Worker] = []  # usable ones

    def take(
        self,
        images: Collection[ImageSpan],
        reader: WorkerInfo,
        shunned: Iterable[Worker],
    ) -> Worker | None:
        """One that takes requests, has room for all of the images and encodes for `reader`. None: the
        reader encodes them itself. Give it back once.
        """
        if not images or not self.workers:
            return None
        needed = sum(blocks_of(span) for span in {span.digest: span for span in images}.values())
        out = set(shunned)
        able = {
            worker.candidate: worker
            for worker in self.workers
            if worker not in out
            and worker.candidate.takes_requests
            and worker.load is not None
            and worker.load.free_blocks >= needed
            and encodes_for(worker.info.fingerprint, reader.fingerprint)
        }
        chosen = choose(next(iter(images)).digest, list(able))
        if chosen is None:
            return None
        able[chosen].take()
        return able[chosen]
