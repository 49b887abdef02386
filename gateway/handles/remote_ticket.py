"""KV that waits at a prefill worker for a decode worker that another router chooses: what that router
is told of it, and what is believed of what it brings.

The addresses in vLLM's keys are for its eyes: only those that the signature vouches for are dialled.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from baton.core.handoff import Handoff
from gateway.handles.seal import Seal
from gateway.job import Job
from gateway.placing.wishes import wrong

TICKET = "remote_ticket"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The hand-off of one prompt."""

    handoff: Handoff
    prompt: str  # digest of its tokens and salt
    num_tokens: int
    num_blocks: int


class RemoteTickets:
    def __init__(self, secret: str, seconds: float, clock: Callable[[], float] = time.time) -> None:
        """`seconds` until nobody can still have the blocks."""
        self._seal = Seal("baton remote ticket 1", secret, seconds, clock)

    def told(self, waiting: Waiting, tenant: str) -> dict[str, object]:
        """vLLM's keys, and the ticket without which they are worth nothing here."""
        handoff = waiting.handoff
        content = {
            "transfer_id": handoff.transfer_id,
            "ticket": handoff.ticket.hex(),
            "address": handoff.address,
            "instance_id": handoff.instance_id,
            "prompt": waiting.prompt,
            "num_tokens": waiting.num_tokens,
            "num_blocks": waiting.num_blocks,
        }
        return {
            "do_remote_prefill": True,
            "do_remote_decode": False,
            **_named(waiting),
            TICKET: self._seal.close(content, tenant),
        }

    def brought(self, keys: Mapping[str, Any], job: Job) -> Handoff:
        """Raises RequestError unless all of it is what this cluster told of this very prompt."""
        try:
            content = self._seal.open(keys[TICKET], job.tenant)
        except ValueError as error:
            raise wrong(TICKET, f"it {error}") from error
        ticket = bytes.fromhex(content["ticket"])
        handoff = Handoff(
            content["transfer_id"], ticket, content["address"], content["instance_id"]
        )
        waiting = Waiting(handoff, content["prompt"], content["num_tokens"], content["num_blocks"])
        for key, value in _named(waiting).items():
            if key in keys and keys[key] != value:
                raise wrong(key, "differs from what the prefill worker's gateway has told")
        if waiting.prompt != prompt_digest(job):
            raise wrong(TICKET, "it is for the KV of another prompt")
        return handoff


def prompt_digest(job: Job) -> str:
    ids = ",".join(map(str, job.prompt))
    return sha256("\0".join((ids, job.cache_salt, *job.image_digests)).encode()).hexdigest()


def _named(waiting: Waiting) -> dict[str, object]:
    host, _, port = waiting.handoff.address.rpartition(":")
    return {
        "remote_engine_id": waiting.handoff.instance_id,
        "remote_request_id": waiting.handoff.transfer_id,
        "remote_block_ids": list(range(waiting.num_blocks)),  # by their places in the prompt
        "remote_num_tokens": waiting.num_tokens,
        "remote_host": host.strip("[]"),
        "remote_port": int(port),
        "tp_size": 1,
    }
