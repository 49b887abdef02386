"""A checked body + tokenised prompts -> the jobs for the cluster and the head of the answer."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import Receive

from baton.core.errors import InternalError, RequestError
from baton.core.handoff import new_id
from baton.core.prompt_images import PromptImage
from gateway.answer import AnswerHead, AnswerOptions
from gateway.body import json_body
from gateway.caller import Caller
from gateway.disconnect import until_disconnect
from gateway.errors import RETRY_SOON, NoRoomError
from gateway.generation_config import GenerationDefaults
from gateway.job import Job
from gateway.limits import Limits
from gateway.model_names import ModelNames
from gateway.output_planner import OutputPlanner
from gateway.remote_desk import RemoteDesk
from gateway.request_scope import adopt_request_id
from gateway.resume_desk import ResumeDesk
from gateway.sampling import (
    PLAIN_RULES,
    RandomBits,
    check_greedy,
    check_prompt,
    check_wanted,
    for_prompt,
    settle,
)
from gateway.schema.common import GenerationRequest, ModelRequest
from gateway.schema.parse import parse, refuse_unknown
from gateway.schema.routing_fields import RoutingFields
from gateway.structured.desk import GrammarDesk, Wanted
from gateway.token_wishes import SamplingRules
from gateway.tool_use import NO_TOOLS, ToolUse
from gateway.workers import Workers

R = TypeVar("R", bound=ModelRequest)
T = TypeVar("T")

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
        planner: OutputPlanner,
        grammars: GrammarDesk,
        resume_desk: ResumeDesk,
        remote_desk: RemoteDesk,
        *,
        vocab_size: int,
        fingerprint: str,
        strict_fields: bool,
        max_body_bytes: int,
        reads_images: bool = False,
        stall: float,
        patience: float,
        force_usage: bool = False,
        prompt_tokens_details: bool = True,
        heeds_priority: bool = False,
        ignores_priority: bool = False,
        sampling_rules: SamplingRules = PLAIN_RULES,
        strict_max_tokens: bool = False,
        strict_greedy_n: bool = False,
        random_bits: RandomBits = secrets.randbits,
    ) -> None:
        self._workers = workers
        self._names = names
        self._defaults = defaults
        self._planner = planner
        self._rules = sampling_rules
        self._strict_max_tokens = strict_max_tokens
        self._strict_greedy_n = strict_greedy_n
        self._random_bits = random_bits
        self.vocab_size = vocab_size
        self._fingerprint = fingerprint
        self._strict = strict_fields
        self._max_body_bytes = max_body_bytes
        self._reads_images = reads_images
        self._force_usage = force_usage
        self._heeds_priority = heeds_priority
        self._ignores_priority = ignores_priority
        self._details = prompt_tokens_details
        self._grammars = grammars
        self._resume_desk = resume_desk
        self._remote_desk = remote_desk
        self._stall = stall  # seconds that a client may send nothing
        self._patience = patience  # seconds, until a first worker has joined

    async def read(self, kind: type[R], request: Request) -> R:
        asked = await self.read_by(partial(parse, kind), request)
        if isinstance(asked, RoutingFields):
            adopt_request_id(request, asked.request_id)  # so that an error has it as well
            self.check_priority(asked.priority)
        self.check_names(asked.model, asked.unknown_fields())
        return asked

    async def read_by(
        self, parse: Callable[[bytes], T], request: Request, image_field: str = "messages"
    ) -> T:
        """What `parse` makes of the body. `image_field`: where its images come."""
        field = image_field if self._reads_images else None
        body = await json_body(request, self._max_body_bytes, self._stall, image_field=field)
        if len(body) < LARGE_BODY:
            return parse(body)
        return await asyncio.to_thread(parse, body)

    def check_names(self, model: str | None, unknown: list[str]) -> None:
        """`unknown`: fields that the API does not have."""
        if self._strict:
            refuse_unknown(unknown)
        self._names.check(model)

    def check_priority(self, priority: int | None) -> None:
        if priority and not self._heeds_priority and not self._ignores_priority:
            raise RequestError(
                "priority: this server places first come, first served; it would take 0, or others "
                "with --scheduling-policy priority",
                "priority",
            )

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
        return Limits(length, self.vocab_size)

    async def grammar(
        self, asked: GenerationRequest, tool_use: ToolUse = NO_TOOLS
    ) -> Wanted | None:
        """What the answer must look like. Raises RequestError for what no answer could follow."""
        return await self._grammars.wanted(asked, tool_use)

    def jobs(
        self,
        asked: GenerationRequest,
        limits: Limits,
        caller: Caller,
        prompts: Sequence[list[int]],
        param: str,
        default_max_tokens: int | None = None,
        *,
        tool_use: ToolUse = NO_TOOLS,
        chat: bool = False,
        continued: bool = False,
        grammar: Wanted | None = None,
        images: tuple[PromptImage, ...] = (),
    ) -> list[Job]:
        """One per prompt. `param` names the field that the prompts came in. The answer to a `chat`
        is looked through for reasoning and, by `tool_use`, for calls. `continued`: it goes on with
        the last message. `images` are those of the one prompt.
        """
        plan = self._planner.plan(asked, tool_use, chat=chat, continued=continued)
        for prompt in prompts:
            check_prompt(prompt, limits, param)
            if self._strict_max_tokens:
                check_wanted(asked, len(prompt), limits)
        wishes = asked.wishes
        wishes.check(self._workers.known)
        settled = settle(asked, self._defaults, limits, self._rules)
        if self._strict_greedy_n:
            check_greedy(settled)
        jobs = []
        for prompt in prompts:
            params = for_prompt(
                settled,
                asked,
                self._defaults,
                len(prompt),
                limits,
                default_max_tokens,
                self._random_bits,
            )
            jobs.append(
                Job(
                    request_id=f"{caller.request_id}-{new_id()[:8]}",
                    prompt=tuple(prompt),
                    params=replace(params, grammar=self._grammars.bound(grammar, prompt, plan)),
                    cache_salt=asked.cache_salt or "",
                    tenant=caller.tenant,
                    priority=(asked.priority or 0) if self._heeds_priority else 0,
                    plan=plan,
                    bill=caller.visit.bill(len(prompt), params.n, params.max_tokens),
                    timeout=caller.timeout,
                    objectives=caller.objectives,
                    record=caller.record,
                    wishes=wishes,
                    asked_at=time.monotonic(),
                    images=images,
                    trace=caller.trace,
                )
            )
        return self._resume_desk.prepared(self._remote_desk.prepared(jobs), asked)

    def head(self, prefix: str, caller: Caller) -> AnswerHead:
        return AnswerHead(
            f"{prefix}-{caller.request_id}", int(time.time()), self._names.first, self._fingerprint
        )

    def headers(self, asked: ModelRequest, unread: Sequence[str] = ()) -> dict[str, str]:
        """Of the answer. `unread`: fields that the chat template takes no notice of; an error
        with --strict-fields.
        """
        if unread and self._strict:
            raise RequestError(f"the chat template does not read {unread[0]!r}", unread[0])
        return ignored_header([*asked.unknown_fields(), *unread])

    def options(self, asked: GenerationRequest, role: str = "assistant") -> AnswerOptions:
        return AnswerOptions(
            role=role,
            usage=asked.includes_usage or self._force_usage,
            continuous_usage=asked.continuous_usage,
            token_ids=bool(asked.return_token_ids),
            prompt_tokens_details=self._details,
            names=self._planner.names(asked),
        )


def ignored_header(ignored: Sequence[str]) -> dict[str, str]:
    """Names are the client's, so they are escaped before they become a header. As many as fit."""
    names: list[str] = []
    room = LONGEST_IGNORED
    for name in ignored:
        escaped = quote(name[:LONGEST_IGNORED], safe="._-")
        room -= len(escaped) + 1
        if room < 0:
            names.append("...")
            break
        names.append(escaped)
    return {IGNORED_HEADER: ",".join(names)} if names else {}
