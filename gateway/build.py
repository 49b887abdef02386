"""Puts a gateway together. Nothing here starts anything."""

import asyncio
import random
import secrets
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from fastapi import FastAPI
from starlette.types import ASGIApp

from baton import __version__
from baton.core.errors import SettingsError
from baton.core.sampling_params import GrammarBackend, LogprobsMode
from baton.images.image_rules import rules_of
from baton.registry.choice import commons_in_redis, directory_in_redis, roster_in_redis
from baton.registry.commons import Commons, LocalCommons
from baton.registry.lone_worker import LoneWorker
from baton.registry.memory import InMemoryRegistry
from baton.registry.service import RegistryServicer
from baton.registry.store import Directory
from baton.rpc.server import make_server
from baton.telemetry.metrics import TaskCollector, process_collector
from baton.v1 import registry_pb2_grpc
from gateway.app import guarded, make_app
from gateway.assignment import Assignment
from gateway.chat_prompt import ChatPrompts
from gateway.content_format import named_format
from gateway.delivery import Delivery
from gateway.dispatch import Dispatcher
from gateway.doorway import Crowd, Doorway
from gateway.endpoints.chat import ChatEndpoint
from gateway.endpoints.completions import CompletionEndpoint
from gateway.endpoints.messages import MessagesEndpoint
from gateway.endpoints.models import ModelsEndpoint
from gateway.endpoints.operations import OperationsEndpoint
from gateway.endpoints.placements import PlacementsEndpoint
from gateway.endpoints.responses import ResponsesEndpoint
from gateway.endpoints.status_page import StatusPageEndpoint
from gateway.endpoints.tokenization import TokenizationEndpoint
from gateway.generation_config import load_defaults
from gateway.images.desk import ImageDesk
from gateway.images.fetching import ImageFetcher
from gateway.metrics import GatewayMetrics
from gateway.model_names import ModelNames
from gateway.output_planner import OutputPlanner
from gateway.parsers.reasoning_formats import reasoning_format
from gateway.parsers.tool_formats import tool_format
from gateway.placement_record import PlacementHistory
from gateway.policies import policy_of
from gateway.preparation import Preparation
from gateway.queue import AdmissionQueue
from gateway.recent_requests import KEPT, RecentRequests
from gateway.remote_desk import RemoteDesk
from gateway.remote_ticket import RemoteTickets
from gateway.rendering import RenderingRules
from gateway.request_log import RequestLog
from gateway.resume_desk import ResumeDesk
from gateway.resume_handle import ResumeHandles
from gateway.sampling import RandomBits
from gateway.settings import PRIORITY, GatewaySettings
from gateway.structured.checking import GrammarChecker
from gateway.structured.config import read_config
from gateway.structured.desk import GrammarDesk
from gateway.tenants.roster import Roster
from gateway.tenants.shared_tenants import SharedTenants
from gateway.tenants.visit import Desk
from gateway.token_wishes import SamplingRules
from gateway.tokenizer import ChatTokenizer, load_tokenizer, vocab_size_of
from gateway.translations.response_desk import ResponseDesk
from gateway.translations.response_store import ResponseStore
from gateway.ui.board import Board
from gateway.ui.feed import Feed
from gateway.workers import Workers

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

TICKET_SECONDS = 600.0  # longer than any lease is renewed


@dataclass(frozen=True, slots=True)
class Gateway:
    app: ASGIApp
    doorway: Doorway
    registry_server: grpc.aio.Server | None  # None: workers join in Redis
    workers: Workers
    queue: AdmissionQueue[Assignment]
    dispatcher: Dispatcher
    commons: Commons
    roster: Roster
    feed: Feed


def build(settings: GatewaySettings, tracer: "Tracer | None" = None) -> Gateway:
    """Raises SettingsError for a folder that does not hold what is needed. Wants a running loop."""
    tokenizer = load_tokenizer(
        settings.tokenizer_folder,
        settings.chat_template,
        named_format(settings.chat_template_content_format),
    )
    roster = _roster(settings)
    directory, server = _registry(settings)
    place = settings.redis.place
    commons: Commons = LocalCommons() if place is None else commons_in_redis(place)
    workers = Workers(
        directory,
        tokenizer.digest,
        settings.cluster_secret,
        settings.cluster_tls.identity(),
        policy=policy_of(settings.placement_policy),
        bound=bool(settings.worker),
        commons=commons,
    )
    queue: AdmissionQueue[Assignment] = AdmissionQueue(
        settings.max_queued_requests,
        settings.max_queue_seconds,
        Assignment.give_back,
        lambda: workers.can_answer,
    )
    metrics = GatewayMetrics(settings.served_names[0])
    metrics.follow(workers.prefixes)
    metrics.watch_queue(queue.waiting)
    metrics.register(TaskCollector(asyncio.get_running_loop()))
    metrics.register(process_collector())
    history = PlacementHistory(settings.placement_history)
    recent = RecentRequests(0 if settings.disable_status_page else KEPT)
    tickets = RemoteTickets(settings.cluster_secret, TICKET_SECONDS) if settings.worker else None
    handles = ResumeHandles(settings.cluster_secret, settings.resume_seconds)
    dispatcher = Dispatcher(
        workers,
        queue,
        metrics,
        settings.worker_silence_seconds,
        settings.failover_timeout,
        handles,
        tickets,
        history,
        recent,
    )
    board = Board(workers, lambda: dispatcher.queued, recent, settings.served_names[0])
    feed = Feed()
    remote_desk = RemoteDesk(tickets, lambda: workers.known)
    resume_desk = ResumeDesk(handles, lambda: workers.model_digest)
    crowd = Crowd()
    app = _app(
        settings,
        tokenizer,
        workers,
        dispatcher,
        metrics,
        crowd,
        history,
        resume_desk,
        remote_desk,
        board,
        feed,
    )
    doorway = Doorway(app, crowd)
    door = guarded(doorway, settings, roster, Desk(commons, metrics.tenants), metrics.http, tracer)
    return Gateway(door, doorway, server, workers, queue, dispatcher, commons, roster, feed)


def _roster(settings: GatewaySettings) -> Roster:
    """Raises SettingsError for a file that cannot be used."""
    file = Path(settings.tenants_file) if settings.tenants_file else None
    place = settings.redis.place
    if place is None or not settings.tenants_in_redis:
        return Roster(settings.api_key, file)
    shared = SharedTenants(roster_in_redis(place, settings.cluster_secret))
    return Roster(settings.api_key, file, shared=shared)


def _registry(settings: GatewaySettings) -> tuple[Directory, grpc.aio.Server | None]:
    """Where to read who is a member, and the door that workers join through, if it is ours."""
    place, secret = settings.redis.place, settings.cluster_secret
    if settings.worker:
        return LoneWorker(settings.worker, secret, settings.cluster_tls.identity()), None
    if place is not None:
        return directory_in_redis(place, secret), None
    registry = InMemoryRegistry()
    server = make_server(secret)
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(RegistryServicer(registry), server)
    return registry, server


def _app(
    settings: GatewaySettings,
    tokenizer: ChatTokenizer,
    workers: Workers,
    dispatcher: Dispatcher,
    metrics: GatewayMetrics,
    crowd: Crowd,
    history: PlacementHistory,
    resume_desk: ResumeDesk,
    remote_desk: RemoteDesk,
    board: Board,
    feed: Feed,
) -> FastAPI:
    names = ModelNames(settings.served_names, settings.model)
    vocab_size = vocab_size_of(settings.model_folder, tokenizer.vocabulary)
    planner = _planner(settings, tokenizer)
    preparation = Preparation(
        workers,
        names,
        load_defaults(
            settings.model_folder, settings.generation_config, settings.override_generation_config
        ),
        planner,
        _grammars(settings, tokenizer, planner, vocab_size),
        resume_desk,
        remote_desk,
        vocab_size=vocab_size,
        fingerprint=f"baton-{__version__}-{tokenizer.digest[:8]}",
        strict_fields=settings.strict_fields,
        max_body_bytes=settings.max_body_bytes,
        reads_images=rules_of(settings.model_folder) is not None,
        stall=settings.client_stall_seconds,
        patience=settings.max_queue_seconds,
        force_usage=settings.enable_force_include_usage,
        prompt_tokens_details=settings.enable_prompt_tokens_details,
        strict_max_tokens=settings.strict_max_tokens,
        strict_greedy_n=settings.strict_greedy_n,
        random_bits=_random_bits(settings.seed),
        heeds_priority=settings.scheduling_policy == PRIORITY,
        ignores_priority=settings.ignore_priority,
        sampling_rules=SamplingRules(
            settings.max_logprobs,
            LogprobsMode(settings.logprobs_mode),
            settings.logits_processor_pattern,
            tokenizer.ids_of,
        ),
    )
    rules = RenderingRules(
        tokenizer.templates,
        settings.default_chat_template_kwargs,
        trusts_requests=settings.trust_request_chat_template,
        hides_unused_tools=settings.exclude_tools_when_tool_choice_none,
        role=settings.response_role,
    )
    prompts = ChatPrompts(preparation, tokenizer, rules, _image_desk(settings))
    log = RequestLog(settings.enable_log_requests, settings.max_log_len)
    delivery = Delivery(dispatcher, tokenizer.vocabulary, settings.client_stall_seconds)
    chat = ChatEndpoint(preparation, prompts, delivery, log)
    desk = ResponseDesk(ResponseStore(settings.response_store.bounds, time.monotonic))
    return make_app(
        chat,
        CompletionEndpoint(preparation, tokenizer, delivery, log),
        ResponsesEndpoint(preparation, chat, desk, settings.client_stall_seconds),
        MessagesEndpoint(preparation, chat, settings.client_stall_seconds),
        ModelsEndpoint(names, workers),
        TokenizationEndpoint(preparation, tokenizer, prompts),
        OperationsEndpoint(workers, board, metrics, crowd, settings.model),
        PlacementsEndpoint(history),
        None
        if settings.disable_status_page
        else StatusPageEndpoint(board, feed, settings.client_stall_seconds),
        docs=not settings.disable_fastapi_docs,
        tokenizer_info=settings.enable_tokenizer_info_endpoint,
    )


def _image_desk(settings: GatewaySettings) -> ImageDesk:
    """Raises SettingsError where the model reads images and this gateway could not."""
    rules = rules_of(settings.model_folder)
    if rules is not None and find_spec("PIL") is None:
        raise SettingsError(
            f"{settings.model} reads images, and a gateway needs pillow for it: "
            "pip install 'baton-serving[vision]'"
        )
    images = settings.images
    return ImageDesk(
        rules,
        images.bounds,
        ImageFetcher(images.hosts(), images.image_fetch_seconds),
        trusts_kwargs=images.trust_request_mm_kwargs,
    )


def _grammars(
    settings: GatewaySettings, tokenizer: ChatTokenizer, planner: OutputPlanner, vocab_size: int
) -> GrammarDesk:
    config = read_config(settings.structured_outputs_config)
    marks = tokenizer.added_tokens
    if config.library is GrammarBackend.XGRAMMAR:  # the others are texts to it
        special = tokenizer.vocabulary.specials
        marks = {text: token_id for text, token_id in marks.items() if token_id in special}
    checker = GrammarChecker(settings.tokenizer_folder, vocab_size, marks, backend=config.library)
    return GrammarDesk(config, checker, planner, tokenizer.ids_of)


def _random_bits(seed: int | None) -> RandomBits:
    return secrets.randbits if seed is None else random.Random(seed).getrandbits


def _planner(settings: GatewaySettings, tokenizer: ChatTokenizer) -> OutputPlanner:
    vocabulary, templates = tokenizer.vocabulary, tokenizer.templates
    plain, calling = (templates.choose(with_tools) for with_tools in (False, True))
    return OutputPlanner(
        vocabulary,
        primary_eos=tokenizer.eos_token_id,
        reasoning=reasoning_format(
            settings.reasoning_parser, vocabulary, plain.text if plain else None
        ),
        tools=tool_format(settings.tool_call_parser, calling.text if calling else None),
        interval=settings.stream_interval,
        tokens_as_ids=settings.return_tokens_as_token_ids,
    )
