"""`python -m prefill_worker`: a worker that reads prompts."""

import grpc

from baton.core.worker_info import Role
from baton.v1 import prefill_pb2_grpc
from baton.worker.process import command
from baton.worker.worker import Worker
from prefill_worker.service import PrefillServicer


def add_service(worker: Worker, server: grpc.aio.Server) -> None:
    prefill_pb2_grpc.add_PrefillServiceServicer_to_server(PrefillServicer(worker), server)


main = command(Role.PREFILL, add_service)

if __name__ == "__main__":
    main()
