"""`python -m decode_worker`: a worker that writes answers."""

import grpc

from baton.core.worker_info import Role
from baton.v1 import decode_pb2_grpc
from baton.worker.process import command
from baton.worker.worker import Worker
from decode_worker.service import DecodeServicer


def add_service(worker: Worker, server: grpc.aio.Server) -> None:
    decode_pb2_grpc.add_DecodeServiceServicer_to_server(DecodeServicer(worker), server)


main = command(Role.DECODE, add_service)

if __name__ == "__main__":
    main()
