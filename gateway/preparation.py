"""A checked body + tokenised prompts -> the jobs for the cluster and the head of the answer."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from urllib.parse import quote

from starlette.types import Receive

from baton.core.errors import InternalError, RequestError
from baton.core.handoff import new_id
from baton.core.prompt_images import PromptImage
from gateway.answers.answer import AnswerHead, AnswerOptions
from gateway.caller import Caller
from gateway.errors import RETRY_SOON, NoRoomError
from gateway.handles.remote_desk import RemoteDesk
from gateway.handles.resume_desk import ResumeDesk
from gateway.http.disconnect import until_disconnect
from gateway.job import Job
from gateway.limits import Limits
from gateway.members.workers import Workers
from gateway.model_names import ModelNames
from gateway.params.generation_config import GenerationDefaults
from gateway.params.output_planner import OutputPlanner
from gateway.params.priority_rule import PriorityRule
from gateway.params.sampling import (
    PLAIN_RULES,
    RandomBits,
    check_greedy,
    check_prompt,
    check_wanted,
    for_prompt,
    settle,
)
from gateway.params.token_wishes import SamplingRules
from gateway.placing.wishes import Elsewhere
from gateway.schema.common import GenerationRequest, ModelRequest
from gateway.structured.desk import GrammarDesk, Wanted
from gateway.tool_use import NO_TOOLS, ToolUse

IGNORED_HEADER = "x-baton-ignored"
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
        elsewhere: Callable[[], Iterable[Elsewhere]] = tuple,
        *,
        vocab_size: int,
        fingerprint: str,
        strict_fields: bool,
        patience: float,
        force_usage: bool = False,
        prompt_tokens_details: bool = True,
        priorities: PriorityRule = PriorityRule(),  # noqa: B008  frozen
        sampling_rules: SamplingRules = PLAIN_RULES,
        strict_max_tokens: bool = False,
        strict_greedy_n: bool = False,
        random_bits: RandomBits = secrets.randbits,
    ) -> None:
        """`elsewhere`: workers of the other models. `patience`: seconds, until a first worker has
        joined.
        """
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
        self._force_usage = force_usage
        self.priorities = priorities
        self._details = prompt_tokens_details
        self._grammars = grammars
        self._resume_desk = resume_desk
        self._remote_desk = remote_desk
        self._elsewhere = elsewhere
        self._patience = patience

    async def limits(self, receive: Receive) -> Limits:
        """Waits for a first worker: only workers know how long a prompt may be. Raises
        ClientDisconnect when the client does not.
        """
        if self._workers.max_model_len is None:
            await until_disconnect(receive, self._met())
        length = self._workers.max_model_len
        if length is None:
            raise InternalError("a worker has joined, but nobody knows how long a prompt may be")
        return Limits(length, self.vocab_size)

    async def _met(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._workers.met()
        except TimeoutError as error:
            raise NoRoomError("No worker has joined yet.", RETRY_SOON) from error

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
        if wishes.particular:
            wishes.check(self._workers.known, self._elsewhere)
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
            bound = self._grammars.bound(grammar, prompt, plan)
            if bound is not None:
                params = replace(params, grammar=bound)
            jobs.append(
                Job(
                    request_id=f"{caller.request_id}-{new_id()[:8]}",
                    prompt=tuple(prompt),
                    params=params,
                    cache_salt=asked.cache_salt or "",
                    tenant=caller.tenant,
                    priority=self.priorities.of(asked.priority),
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
