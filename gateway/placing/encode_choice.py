"""Which encode worker gets the images of a prompt. Pure."""

import hashlib
from collections.abc import Sequence

from gateway.placing.candidate import Candidate

# Requests more than the least loaded has, before an image leaves the worker that keeps it.
SLACK = 2


def choose(digest: bytes, able: Sequence[Candidate]) -> Candidate | None:
    """The same worker for the same first image, so that it finds in its memory what a conversation has
    shown before; another one, again the same for all, while that has too much to do. When workers come
    or go only their own images move. None: nobody is able.
    """
    if not able:
        return None
    most = min(candidate.requests for candidate in able) + SLACK
    free = [candidate for candidate in able if candidate.requests <= most]
    return max(free, key=lambda candidate: _rank(digest, candidate.info.worker_id))


def _rank(digest: bytes, worker_id: str) -> bytes:
    """Of rendezvous hashing; by names, which outlive a restart."""
    return hashlib.sha256(digest + worker_id.encode()).digest()
