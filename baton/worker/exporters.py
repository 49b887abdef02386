"""Over which data planes a worker's memory can be read."""

from baton.worker.settings import WorkerSettings
from kv_transfer.memory import Memory
from kv_transfer.transports import nixl_agent
from kv_transfer.transports.base import Exporter
from kv_transfer.transports.grpc_export import GrpcExporter
from kv_transfer.transports.nixl_export import NixlExporter
from kv_transfer.transports.planes import allowed
from kv_transfer.transports.shm import ShmExporter
from kv_transfer.transports.tcp_export import TcpExporter


def exporters_of(memory: Memory, settings: WorkerSettings, address: str) -> list[Exporter]:
    """Best first; `--kv-transport` restricts what this worker offers as well as what it takes.

    NIXL is offered only where it is asked for: the others are as good for memory of the host.
    """
    host = settings.host
    advertise = settings.advertise_host or host
    wanted, tls = settings.kv_transport, settings.cluster_tls.is_on
    if wanted == nixl_agent.NAME:
        return [NixlExporter(memory, host, advertise)]
    offers: dict[str, Exporter] = {
        "shm": ShmExporter(memory),
        "tcp": TcpExporter(
            memory,
            host,
            settings.kv_port,
            advertise=advertise,
            advertise_port=settings.advertise_kv_port,
        ),
        "grpc": GrpcExporter(memory, address),
    }
    return [offer for name, offer in offers.items() if allowed(wanted, name, tls)]
