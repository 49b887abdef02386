"""Which gRPC services a worker's process has, and what stands behind those that every worker has."""

from collections.abc import Callable, Mapping

import grpc
from grpc_health.v1 import health_pb2_grpc

from baton.core.worker_info import Role
from baton.v1 import kv_transfer_pb2_grpc, worker_pb2_grpc
from baton.worker.flipping import Flipping
from baton.worker.health_service import HealthServicer
from baton.worker.served import ServedWorker
from baton.worker.worker import Worker
from baton.worker.worker_service import WorkerServicer
from kv_transfer.service import KvTransferServicer

_SHARED_SERVICES = ("baton.v1.WorkerService", "baton.v1.KvTransferService")
_SERVICE_OF_ROLE = {
    Role.PREFILL: "baton.v1.PrefillService",
    Role.DECODE: "baton.v1.DecodeService",
    Role.ENCODE: "baton.v1.EncodeService",
}

AddService = Callable[[Worker, grpc.aio.Server], None]
Services = Mapping[Role, AddService]  # of the roles that a process can have


def add_shared_services(worker: ServedWorker, server: grpc.aio.Server, flipping: Flipping) -> None:
    """What every worker serves, whatever its role. Its health speaks for its role's service too."""
    servicer = WorkerServicer(
        lambda: worker.info,
        worker.desk,
        worker.board,
        lambda: worker.alive,
        worker.kv_change,
        flipping,
    )
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server)
    kv_transfer_pb2_grpc.add_KvTransferServiceServicer_to_server(
        KvTransferServicer(worker.sender), server
    )
    for plane in worker.served_planes:
        plane.add_to(server)

    def services() -> tuple[str, ...]:
        return *_SHARED_SERVICES, _SERVICE_OF_ROLE[worker.info.role]

    health = HealthServicer(services, worker.board, lambda: worker.takes_requests)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
