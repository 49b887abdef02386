"""`python -m decode_worker`: a worker that writes answers."""

from typing import NoReturn

import grpc

from baton.core.worker_info import Role
from baton.v1 import decode_pb2_grpc
from baton.worker.process import be_worker_of, command
from baton.worker.settings import WorkerSettings
from baton.worker.worker import Worker
from decode_worker.service import DecodeServicer


def add_service(worker: Worker, server: grpc.aio.Server) -> None:
    decode_pb2_grpc.add_DecodeServiceServicer_to_server(DecodeServicer(worker), server)


def be_worker(settings: WorkerSettings) -> NoReturn:
    be_worker_of(Role.DECODE, settings, {Role.DECODE: add_service})


main = command(Role.DECODE, be_worker)

if __name__ == "__main__":
    main()
