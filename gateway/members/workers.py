"""The workers of a model as this gateway sees them: who is a member, who can be used, where a request
goes.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial

from baton.core.errors import BatonError
from baton.core.sampling_params import SamplingParams
from baton.core.worker_info import Role, WorkerInfo
from baton.registry.commons import Commons, LocalCommons
from baton.registry.store import Directory
from baton.rpc.tls_identity import TlsIdentity
from gateway.members.assignment import Assignment
from gateway.members.compatibility import unusable
from gateway.members.encode_pool import EncodePool
from gateway.members.roll import Roll
from gateway.members.worker import Worker
from gateway.members.worker_client import WorkerClient
from gateway.placing.candidate import Candidate
from gateway.placing.fleet import Fleet
from gateway.placing.forecast import Forecast
from gateway.placing.learned import Learned
from gateway.placing.objectives import NONE, Objectives
from gateway.placing.placement import Pair, refuge
from gateway.placing.policies import AUTO, Policy, policy_of
from gateway.placing.refusals import Refusals
from gateway.placing.scoring import Ask
from gateway.placing.wishes import ANY, Wishes
from gateway.prefixes.prefix_book import PrefixBook, nothing_expected
from gateway.prefixes.prefix_source import Holder, Source, prefix_source
from gateway.prefixes.prompt_chain import Naming, PromptChain

logger = logging.getLogger(__name__)


def _no_stranger(_: WorkerInfo) -> None:
    """For a directory that has workers of the one model."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a placement must know of a request beside its prompt."""

    params: SamplingParams
    objectives: Objectives = NONE
    priority: int = 0


class Workers:
    """Follows the registry while `run()` runs. `on_change` is called after every change that may
    let a request be placed.

    A worker that is no longer in the registry stays for as long as it is heard: a registry can lose
    what it held, and a worker that ends falls silent. Another instance in its place ends it at once.
    `began` is set once the registry was read, or found to be away.
    """

    def __init__(
        self,
        registry: Directory,
        secret: str,
        tls: TlsIdentity | None = None,
        connect: Callable[[str, str, TlsIdentity | None], WorkerClient] = WorkerClient,
        policy: Policy | None = None,
        bound: bool = False,
        commons: Commons | None = None,
        stranger: Callable[[WorkerInfo], str | None] = _no_stranger,
    ) -> None:
        """`bound`: to one worker, whatever it can do. `stranger`: why a member is none of this
        model's, as a sentence.
        """
        self._bound = bound
        self._connect = connect
        self._policy = policy or policy_of(AUTO)
        self.learned = Learned()
        self._registry = registry
        self._stranger = stranger
        self._model_digest: str | None = None  # settled for ever: clients must not get two models
        self._secret = secret
        self._tls = tls
        self._workers: dict[str, Worker] = {}  # by instance id
        self._listed: dict[str, WorkerInfo] = {}  # by instance id: the registry's own view
        self._unlisted = False  # some worker is not in it, and stays for as long as it is heard
        self._usable: list[Worker] = []  # that read prompts or write answers
        self._fleet = Fleet()  # of these
        self._encode_pool = EncodePool()
        self.prefixes = PrefixBook(self._hear_anew)
        self._namings: dict[str, Naming] = {}  # of usable workers, by digest
        self._leaving: list[Worker] = []
        self._roll = Roll()
        self.commons = commons or LocalCommons()
        self._on_change: Callable[[], None] = lambda: None
        self.began = asyncio.Event()
        self._met = asyncio.Event()
        self._max_model_len: int | None = None
        self._given_up: BatonError | None = None

    async def run(self, on_change: Callable[[], None]) -> None:
        """Until it is cancelled."""
        self._on_change = on_change
        async for members in self._registry.subscribe():
            self._set_members(members)
            self.began.set()
            self._on_change()

    async def close(self) -> None:
        """After `run()`; breaks what is still under way."""
        await asyncio.gather(*(worker.close() for worker in [*self.all(), *self._leaving]))

    def all(self) -> list[Worker]:
        return sorted(self._workers.values(), key=lambda worker: worker.info.worker_id)

    @property
    def usable(self) -> list[Worker]:
        """That read prompts or write answers."""
        return self._usable

    @property
    def trouble(self) -> str | None:
        """Why the registry cannot be read now, as a sentence."""
        return self._registry.trouble

    @property
    def can_answer(self) -> bool:
        """Whether some decode worker takes requests, or the one that there is."""
        return any(c.takes_requests and (self._bound or not c.prefills) for c in self._fleet)

    @property
    def model_digest(self) -> str:
        """Of the weights that the workers have; empty before the first was met."""
        return self._model_digest or ""

    @property
    def known(self) -> Collection[WorkerInfo]:
        """Members and those that were."""
        return self._roll.known

    @property
    def max_model_len(self) -> int | None:
        """Prompt + answer that every worker can hold; None before the first worker was met."""
        return self._max_model_len

    async def met(self) -> None:
        """Until a usable worker has been a member once. Raises what `give_up` was told."""
        await self._met.wait()
        if self._given_up is not None:
            raise self._given_up

    def give_up(self, error: BatonError) -> None:
        """Nobody need wait for a first worker any more."""
        self._given_up = error
        self._met.set()

    def assign(
        self, prompt: PromptChain, refusals: Refusals, wanted: Wanted, wishes: Wishes = ANY
    ) -> Assignment | None:
        """None: nothing fits now."""
        candidates: Collection[Candidate] = self._fleet
        if refusals.any or self.commons.any_doubts:
            candidates = [_judged(worker, refusals, self.commons) for worker in self._usable]
        learned = self.learned
        ask = Ask(
            tokens=len(prompt),
            answer=learned.answers.expected(wanted.params),
            choices=wanted.params.n,
            priority=wanted.priority,
            held=self.prefixes.held(prompt, self._namings.values()),
            objectives=wanted.objectives,
            doubted_links=refusals.doubted_links,
            link=learned.links.any,
            relayed=learned.relayed.value,
            alone=learned.alone.value,
            may_be_alone=wishes.may_be_alone,
            particular=wishes.particular,
        )
        decision = self._policy.place(wishes.of(candidates), ask, learned.links.between)
        if decision is None:
            return None
        forecast = Forecast(decision, learned, ask.choices, time.monotonic())
        return self._taken(forecast, prompt, ask, wishes, refusals)

    def assign_reader(self, prompt: PromptChain) -> Assignment | None:
        """A prefill worker alone, in the place of whoever reads: another router has the decode worker.
        None: nobody takes it now.
        """
        held = self.prefixes.held(prompt, self._namings.values())
        for worker in self._usable:
            if worker.candidate.prefills and worker.candidate.takes_requests:
                instance_id = worker.info.instance_id
                unread = len(prompt) - held.get(instance_id, 0)
                worker.take(unread)
                admitted = self.prefixes.expecting(prompt, instance_id, worker.naming, held)
                return Assignment(worker, None, admitted, unread)
        return None

    def connect(self, address: str) -> WorkerClient:
        """To a worker that need not be a member; close it."""
        return self._connect(address, self._secret, self._tls)

    def holders(self, prompt: PromptChain) -> list[tuple[Worker, int]]:
        """Usable workers whose cache has the beginning of the prompt, with so many tokens of it, the
        longest first; of either role. Tokens are whole strides: there may be up to one more.
        """
        held = self.prefixes.held(prompt, self._namings.values())
        found = [(self._workers[i], tokens) for i, tokens in held.items() if i in self._workers]
        usable = [(worker, tokens) for worker, tokens in found if worker.unusable is None]
        return sorted(usable, key=lambda one: (-one[1], one[0].info.worker_id))

    def _taken(
        self,
        forecast: Forecast,
        prompt: PromptChain,
        ask: Ask,
        wishes: Wishes,
        refusals: Refusals,
    ) -> Assignment:
        held, placement = ask.held, forecast.decision.placement
        decode = self._workers[placement.decode.instance_id]
        prefill = None
        if isinstance(placement, Pair):
            prefill = self._workers[placement.prefill.instance_id]
        reader = prefill or decode
        unread = len(prompt) - held.get(reader.info.instance_id, 0)
        claim = decode.claim_for(ask.tokens, ask.choices, ask.priority)
        if prefill is not None:
            prefill.take(unread)
            decode.take(claim=claim)
        else:
            decode.take(unread, claim)
        admitted = self.prefixes.expecting(prompt, reader.info.instance_id, reader.naming, held)
        lender = partial(self._lender_for, prompt, wishes)
        encode = self._encode_pool.take(prompt.images, reader.info, self._shunned(wishes, refusals))
        return Assignment(decode, prefill, admitted, unread, forecast, claim, lender, encode)

    def _shunned(self, wishes: Wishes, refusals: Refusals) -> list[Worker]:
        """Encode workers that this request does not ask: whoever reads can do without them."""
        return [
            worker
            for worker in self._encode_pool.workers
            if wishes.avoids(worker.info)
            or refusals.holds(worker)
            or refusals.doubts(worker)
            or self.commons.doubts(worker.info.instance_id)
        ]

    def _lender_for(
        self, prompt: PromptChain, wishes: Wishes, prefill: WorkerInfo
    ) -> Source | None:
        found = self.holders(prompt)
        holders = [Holder(w.candidate, n) for w, n in found if not wishes.avoids(w.info)]
        return prefix_source(prefill, holders, len(prompt))

    def _hear_anew(self, instance_id: str) -> None:
        if (worker := self._workers.get(instance_id)) is not None:
            worker.hear_anew()

    def assign_refuge(
        self,
        source: Worker,
        known_tokens: int,
        refusals: Refusals,
        wishes: Wishes,
        priority: int = 0,
    ) -> Assignment | None:
        """For a running answer that `source` is to hand over. None: nobody can take it now."""
        candidates = [_judged(worker, refusals, self.commons) for worker in self._usable]
        info = refuge(wishes.of(candidates), source.candidate, known_tokens, priority)
        if info is None:
            return None
        decode = self._workers[info.instance_id]
        claim = decode.claim_for(known_tokens, 1, priority)
        decode.take(claim=claim)
        return Assignment(decode, None, nothing_expected, claim=claim)

    def _set_members(self, members: Iterable[WorkerInfo]) -> None:
        self._listed = {info.instance_id: info for info in members}
        self._drop_gone()
        for instance_id in [i for i in self._listed if i not in self._workers]:
            info = self._listed[instance_id]
            client = self._connect(info.address, self._secret, self._tls)
            worker = Worker(
                info,
                client,
                self._worker_changed,
                self._roll.enter(info),
                partial(self.prefixes.hear, instance_id),
                self.learned,
                self._fleet,
            )
            self._workers[instance_id] = worker
        self._judge()

    def _drop_gone(self) -> bool:
        """Whether anybody was dropped."""
        self._leaving = [worker for worker in self._leaving if not worker.closed]
        missing = [self._workers[i] for i in self._workers.keys() - self._listed.keys()]
        replaced = {info.worker_id for info in self._listed.values()} if missing else set()
        gone = [w for w in missing if w.load is None or w.info.worker_id in replaced]
        self._unlisted = len(gone) < len(missing)
        for worker in gone:
            del self._workers[worker.info.instance_id]
            self.prefixes.drop(worker.info.instance_id)
            self.learned.drop(worker.info.instance_id)
            worker.leave()
            self._leaving.append(worker)
        return bool(gone)

    def _judge(self) -> None:
        infos = [worker.info for worker in self._workers.values()]
        strange = {i.instance_id: why for i in infos if (why := self._stranger(i)) is not None}
        own = [info for info in infos if info.instance_id not in strange]
        if self._model_digest is None and own:
            self._model_digest = own[0].fingerprint.model_digest
        reasons = strange | unusable(own, self._model_digest)
        if self._bound:
            reasons |= {
                info.instance_id: "it encodes images and answers nobody; name another one"
                for info in infos
                if info.role is Role.ENCODE
            }
        for worker in self.all():
            reason = reasons.get(worker.info.instance_id)
            if reason is not None and reason != worker.unusable:
                logger.error("worker %s cannot be used: %s", worker.info.worker_id, reason)
            worker.unusable = reason
        usable = [w for w in self._workers.values() if w.unusable is None]
        self._usable = [w for w in usable if w.info.role is not Role.ENCODE]
        self._fleet.become(worker.candidate for worker in self._usable)
        self._encode_pool.workers = [w for w in usable if w.info.role is Role.ENCODE]
        self._namings = {worker.naming.digest: worker.naming for worker in self._usable}
        if self.usable:
            self._max_model_len = min(worker.info.max_model_len for worker in self.usable)
            self._met.set()

    def _worker_changed(self) -> None:
        if (self._unlisted or self._leaving) and self._drop_gone():
            self._judge()
        self._on_change()


def _judged(worker: Worker, refusals: Refusals, commons: Commons) -> Candidate:
    refused = refusals.holds(worker)
    doubted = refusals.doubts(worker) or commons.doubts(worker.info.instance_id)
    if not (refused or doubted):
        return worker.candidate
    return replace(worker.candidate, refused=refused, doubted=doubted)
