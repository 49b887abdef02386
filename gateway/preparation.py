"""A checked body + tokenised prompts -> the jobs for the cluster and the head of the answer."""

import asyncio
import time
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import Receive

from baton.core.errors import InternalError
from baton.core.handoff import new_id
from gateway.answer import AnswerHead, AnswerOptions
from gateway.body import json_body
from gateway.caller import Caller
from gateway.disconnect import until_disconnect
from gateway.errors import RETRY_SOON, NoRoomError
from gateway.generation_config import GenerationDefaults
from gateway.job import Job
from gateway.limits import Limits
from gateway.model_names import ModelNames
from gateway.sampling import PLAIN_RULES, check_prompt, for_prompt, settle
from gateway.schema.common import GenerationRequest
from gateway.schema.parse import parse, refuse_unknown
from gateway.token_wishes import SamplingRules
from gateway.workers import Workers

R = TypeVar("R", bound=GenerationRequest)

IGNORED_HEADER = "x-baton-ignored"
LARGE_BODY = 100_000  # bytes; from here on a thread keeps the event loop free
LONGEST_IGNORED = 1000  # characters of that header


class Preparation:
    """Everything that can be refused is refused here, before a worker hears of the request."""

    def __init__(
        self,
        workers: Workers,
        names: ModelNames,
        defaults: GenerationDefaults,
        *,
        vocab_size: int,
        fingerprint: str,
        strict_fields: bool,
        max_body_bytes: int,
        stall: float,
        patience: float,
        force_usage: bool = False,
        prompt_tokens_details: bool = True,
        rules: SamplingRules = PLAIN_RULES,
    ) -> None:
        self._workers = workers
        self._names = names
        self._defaults = defaults
        self._rules = rules
        self._vocab_size = vocab_size
        self._fingerprint = fingerprint
        self._strict = strict_fields
        self._max_body_bytes = max_body_bytes
        self._force_usage = force_usage
        self._details = prompt_tokens_details
        self._stall = stall  # seconds that a client may send nothing
        self._patience = patience  # seconds, until a first worker has joined

    async def read(self, kind: type[R], request: Request) -> R:
        body = await json_body(request, self._max_body_bytes, self._stall)
        if len(body) < LARGE_BODY:
            asked = parse(kind, body)
        else:
            asked = await asyncio.to_thread(parse, kind, body)
        if self._strict:
            refuse_unknown(asked.unknown_fields())
        self._names.check(asked.model)
        return asked

    async def limits(self, receive: Receive) -> Limits:
        """Waits for a first worker: only workers know how long a prompt may be. Raises
        ClientDisconnect when the client does not.
        """
        return await until_disconnect(receive, self._limits())

    async def _limits(self) -> Limits:
        if self._workers.max_model_len is None:
            try:
                async with asyncio.timeout(self._patience):
                    await self._workers.met()
            except TimeoutError as error:
                raise NoRoomError("No worker has joined yet.", RETRY_SOON) from error
        length = self._workers.max_model_len
        if length is None:
            raise InternalError("a worker has joined, but nobody knows how long a prompt may be")
        return Limits(length, self._vocab_size)

    def jobs(
        self,
        asked: GenerationRequest,
        limits: Limits,
        caller: Caller,
        prompts: Sequence[list[int]],
        param: str,
        default_max_tokens: int | None = None,
    ) -> list[Job]:
        """One per prompt. `param` names the field that the prompts came in."""
        for prompt in prompts:
            check_prompt(prompt, limits, param)
        settled = settle(asked, self._defaults, limits, self._rules)
        return [
            Job(
                request_id=f"{caller.request_id}-{new_id()[:8]}",
                prompt=tuple(prompt),
                params=for_prompt(
                    settled, asked, self._defaults, len(prompt), limits, default_max_tokens
                ),
                cache_salt=asked.cache_salt or "",
                tenant=caller.tenant,
            )
            for prompt in prompts
        ]

    def head(self, prefix: str, caller: Caller) -> AnswerHead:
        return AnswerHead(
            f"{prefix}-{caller.request_id}", int(time.time()), self._names.first, self._fingerprint
        )

    def options(self, asked: GenerationRequest) -> AnswerOptions:
        return AnswerOptions(
            usage=asked.includes_usage or self._force_usage,
            continuous_usage=asked.continuous_usage,
            token_ids=bool(asked.return_token_ids),
            prompt_tokens_details=self._details,
        )


def ignored_header(asked: GenerationRequest) -> dict[str, str]:
    """Names are the client's, so they are escaped before they become a header. As many as fit."""
    names: list[str] = []
    room = LONGEST_IGNORED
    for name in asked.unknown_fields():
        escaped = quote(name[:LONGEST_IGNORED], safe="._-")
        room -= len(escaped) + 1
        if room < 0:
            names.append("...")
            break
        names.append(escaped)
    return {IGNORED_HEADER: ",".join(names)} if names else {}
