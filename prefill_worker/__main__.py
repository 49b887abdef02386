"""`python -m prefill_worker`: a worker that reads prompts."""

from typing import NoReturn

import grpc

from baton.core.worker_info import Role
from baton.v1 import prefill_pb2_grpc
from baton.worker.process import be_worker_of, command
from baton.worker.settings import WorkerSettings
from baton.worker.worker import Worker
from prefill_worker.service import PrefillServicer


def add_service(worker: Worker, server: grpc.aio.Server) -> None:
    prefill_pb2_grpc.add_PrefillServiceServicer_to_server(PrefillServicer(worker), server)


def be_worker(settings: WorkerSettings) -> NoReturn:
    be_worker_of(Role.PREFILL, settings, {Role.PREFILL: add_service})


main = command(Role.PREFILL, be_worker)

if __name__ == "__main__":
    main()
