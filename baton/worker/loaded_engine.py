"""An engine, loaded, as what a worker's process serves, with the services of the roles that it can have."""

from dataclasses import replace
from typing import TYPE_CHECKING

import grpc

from baton.core.fingerprint import Fingerprint
from baton.core.worker_info import Role, WorkerInfo
from baton.engine.build import build_engine
from baton.engine.config import AUTO, OFF
from baton.engine.engine import Engine
from baton.worker.served import Load
from baton.worker.services import Services
from baton.worker.settings import WorkerSettings
from baton.worker.worker import Worker

if TYPE_CHECKING:
    from baton.telemetry.tracing import Tracer


class LoadedEngine:
    def __init__(self, engine: Engine, services: Services) -> None:
        self._engine = engine
        self._services = services

    @property
    def fingerprint(self) -> Fingerprint:
        return self._engine.runner.fingerprint

    @property
    def num_blocks(self) -> int:
        return self._engine.blocks.total

    @property
    def max_model_len(self) -> int:
        return self._engine.max_model_len

    def start(self) -> None:
        self._engine.start()

    def stop(self) -> None:
        self._engine.stop()

    def close(self) -> None:
        self._engine.close()

    def serve(
        self,
        info: WorkerInfo,
        settings: WorkerSettings,
        server: grpc.aio.Server,
        tracer: "Tracer | None",
    ) -> Worker:
        worker = Worker(info, self._engine, settings, tracer=tracer)
        for add_service in self._services.values():
            add_service(worker, server)
        return worker


def engine_loader(services: Services, role: Role) -> Load:
    """`role` is the one that the worker begins in."""

    def load(folder: str, settings: WorkerSettings) -> LoadedEngine:
        config = settings.engine
        if config.output_screen == AUTO and role is not Role.DECODE:
            config = replace(config, output_screen=OFF)  # of a prompt it saves nothing that counts
        return LoadedEngine(build_engine(folder, config), services)

    return load
