"""Puts a gateway together. Nothing here starts anything."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from fastapi import FastAPI

from baton.model_source import digest_of_files, revision_of
from baton.registry.choice import commons_in_redis, directory_in_redis, roster_in_redis
from baton.registry.commons import Commons, LocalCommons
from baton.registry.lone_worker import LoneWorker
from baton.registry.memory import InMemoryRegistry
from baton.registry.service import RegistryServicer
from baton.registry.store import Directory
from baton.rpc.server import make_server
from baton.telemetry.metrics import TaskCollector, process_collector
from baton.v1 import registry_pb2_grpc
from gateway.answers.request_log import RequestLog
from gateway.app import guarded, make_app
from gateway.build_model import Shared, build_model, tokenizer_of
from gateway.endpoints.chat import ChatEndpoint
from gateway.endpoints.completions import CompletionEndpoint
from gateway.endpoints.messages import MessagesEndpoint
from gateway.endpoints.models import ModelsEndpoint
from gateway.endpoints.operations import OperationsEndpoint
from gateway.endpoints.placements import PlacementsEndpoint
from gateway.endpoints.responses import ResponsesEndpoint
from gateway.endpoints.status_page import StatusPageEndpoint
from gateway.endpoints.tokenization import TokenizationEndpoint
from gateway.gateway import Gateway
from gateway.handles.remote_ticket import RemoteTickets
from gateway.handles.resume_handle import ResumeHandles
from gateway.http.doorway import Crowd, Doorway
from gateway.intake import Intake
from gateway.members.workers import Workers
from gateway.models.dealing import Dealer
from gateway.models.lineup import Identity, Lineup
from gateway.models.served_models import ServedModels
from gateway.params.priority_rule import PriorityRule
from gateway.placing.placement_record import PlacementHistory
from gateway.placing.policies import policy_of
from gateway.placing.wishes import Elsewhere
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.settings import GatewaySettings
from gateway.settings_check import PRIORITY
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.recent_requests import KEPT, RecentRequests
from gateway.tenants.roster import Roster
from gateway.tenants.shared_tenants import SharedTenants
from gateway.tenants.visit import Desk
from gateway.translations.response_desk import ResponseDesk
from gateway.translations.response_store import ResponseStore
from gateway.ui.board import Board
from gateway.ui.feed import Feed

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer

TICKET_SECONDS = 600.0  # longer than any lease is renewed


def build(settings: GatewaySettings, tracer: "Tracer | None" = None) -> Gateway:
    """Raises SettingsError for a folder that does not hold what is needed. Wants a running loop."""
    roster = _roster(settings)
    directory, server = _registry(settings)
    place = settings.redis.place
    commons: Commons = LocalCommons() if place is None else commons_in_redis(place)
    shared = _shared(settings)
    models, dealer = _models(settings, directory, commons, shared)
    feed, crowd = Feed(), Crowd()
    doorway = Doorway(_app(settings, models, shared, crowd, feed), crowd)
    desk = Desk(commons, models.first.metrics.tenants)
    door = guarded(doorway, settings, roster, desk, shared.metrics.http, tracer)
    return Gateway(door, doorway, server, dealer, models, commons, roster, feed)


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


def _shared(settings: GatewaySettings) -> Shared:
    metrics = GatewayMetrics(settings.served_names[0])
    metrics.register(TaskCollector(asyncio.get_running_loop()))
    metrics.register(process_collector())
    secret = settings.cluster_secret
    return Shared(
        metrics=metrics,
        history=PlacementHistory(settings.placement_history),
        recent=RecentRequests(0 if settings.disable_status_page else KEPT),
        handles=ResumeHandles(secret, settings.resume_seconds),
        tickets=RemoteTickets(secret, TICKET_SECONDS) if settings.worker else None,
        priorities=PriorityRule(
            settings.scheduling_policy == PRIORITY, ignores=settings.ignore_priority
        ),
        log=RequestLog(settings.enable_log_requests, settings.max_log_len),
    )


def _models(
    settings: GatewaySettings, directory: Directory, commons: Commons, shared: Shared
) -> tuple[ServedModels, Dealer]:
    """All of them, and who deals the directory's workers to them."""
    told = settings.models
    tokenizers = [tokenizer_of(one) for one in told]
    lineup = _lineup(told, tokenizers)
    dealer = Dealer(directory, lineup, len(told))
    crews = {
        one.served_names[0]: Workers(
            share,
            settings.cluster_secret,
            settings.cluster_tls.identity(),
            policy=policy_of(settings.placement_policy),
            bound=bool(settings.worker),
            commons=commons,
            stranger=lineup.stranger,
        )
        for one, share in zip(told, dealer.shares, strict=True)
    }

    def elsewhere(name: str) -> list[Elsewhere]:
        others = [(other, crew) for other, crew in crews.items() if other != name]
        return [(other, info) for other, crew in others for info in crew.known]

    built = [
        build_model(one, tokenizer, crews[name], partial(elsewhere, name), shared)
        for one, tokenizer, name in zip(told, tokenizers, crews, strict=True)
    ]
    return ServedModels(built), dealer


def _lineup(told: Sequence[GatewaySettings], tokenizers: Sequence[ChatTokenizer]) -> Lineup:
    """Of one model, the weights of the first worker count; of several, those that each one's folder has,
    if it has any.
    """
    if len(told) == 1:
        return Lineup([Identity(told[0].served_names[0], tokenizers[0].digest)])
    return Lineup(
        [
            Identity(
                one.served_names[0],
                tokenizer.digest,
                digest_of_files(one.model_folder),
                revision_of(one.model_folder),
            )
            for one, tokenizer in zip(told, tokenizers, strict=True)
        ]
    )


def _app(
    settings: GatewaySettings, models: ServedModels, shared: Shared, crowd: Crowd, feed: Feed
) -> FastAPI:
    stall = settings.client_stall_seconds
    intake = Intake(
        models,
        shared.priorities,
        strict_fields=settings.strict_fields,
        max_body_bytes=settings.max_body_bytes,
        reads_images=any(model.prompts.reads_images for model in models),
        stall=stall,
    )
    board = Board(models, shared.recent)
    responses = ResponseDesk(ResponseStore(settings.response_store.bounds, time.monotonic))
    return make_app(
        ChatEndpoint(intake),
        CompletionEndpoint(intake),
        ResponsesEndpoint(intake, responses, stall),
        MessagesEndpoint(intake, stall),
        ModelsEndpoint(models),
        TokenizationEndpoint(intake, models),
        OperationsEndpoint(models, board, shared.metrics, crowd),
        PlacementsEndpoint(shared.history),
        None if settings.disable_status_page else StatusPageEndpoint(board, feed, stall),
        docs=not settings.disable_fastapi_docs,
        tokenizer_info=settings.enable_tokenizer_info_endpoint,
    )
