"""The other process of `benchmarks.transfer`: lends its memory in every way, until stdin ends.

Its first line says where. Then each line of stdin is a hand-off of the light layout to begin
("begin ID TICKET") or to make ready ("ready"), answered by the clock when it was.
"""

import asyncio
import ctypes
import json
import os
import socket
import sys
import threading
import time

from baton.core.token_record import TokenRecord
from baton.engine.blocks.kv_pool import KvPool
from baton.rpc.server import bind, make_server, stop
from baton.v1 import kv_transfer_pb2_grpc as pb_grpc
from benchmarks.transfer_memory import (
    LIGHT,
    LIGHT_TOKENS,
    NUM_BLOCKS,
    SMALL,
    fingerprint,
    serve_plainly,
    touched_pool,
)
from kv_transfer.sending import Lease, Sender
from kv_transfer.service import KvTransferServicer
from kv_transfer.transports.base import Endpoint, Exporter
from kv_transfer.transports.grpc_export import GrpcExporter
from kv_transfer.transports.nixl_agent import importable
from kv_transfer.transports.nixl_export import NixlExporter
from kv_transfer.transports.shm import ShmExporter
from kv_transfer.transports.tcp_export import TcpExporter

INSTANCE = "p-1"


async def main() -> None:
    with touched_pool(SMALL, NUM_BLOCKS, 1) as pool, touched_pool(LIGHT, 64, 1) as light:
        server = make_server()
        address = f"127.0.0.1:{bind(server, '127.0.0.1', 0)}"
        over_grpc = GrpcExporter(pool, address)
        over_grpc.add_to(server)
        exporters: list[Exporter] = [ShmExporter(pool), TcpExporter(pool), over_grpc]
        exporters += _nixl_exporters(pool)
        sender = Sender(
            INSTANCE, fingerprint(LIGHT), 64, light, lambda blocks: None, [ShmExporter(light)]
        )
        pb_grpc.add_KvTransferServiceServicer_to_server(KvTransferServicer(sender), server)
        sender.start()
        await server.start()
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=_listen, args=(listener, pool.view), daemon=True).start()
        _say(
            {
                "endpoints": [_as_json(exporter.start()) for exporter in exporters],
                "plain": listener.getsockname()[1],
                "pid": os.getpid(),
                "memory": ctypes.addressof(ctypes.c_char.from_buffer(pool.view)),
                "control": address,
            }
        )
        await _obey(sender)
        for exporter in exporters:
            exporter.close()
        sender.close()
        await stop(server, 0)


def _nixl_exporters(pool: KvPool) -> list[Exporter]:
    return [NixlExporter(pool)] if importable() else []


async def _obey(sender: Sender) -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    lease: Lease | None = None
    while line := (await lines.readline()).decode().split():
        if line[0] == "begin":
            lease = sender.open(line[1], bytes.fromhex(line[2]), lambda: None)
            lease.blocks_lent(tuple(range(LIGHT.blocks_for(LIGHT_TOKENS))), LIGHT_TOKENS)
            _say("begun")
        elif lease is not None:
            now = time.monotonic()
            lease.finished((TokenRecord(0, LIGHT_TOKENS, 7),), True)
            _say(now)


def _listen(listener: socket.socket, memory: memoryview) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve_plainly, args=(connection, memory), daemon=True).start()


def _as_json(endpoint: Endpoint) -> list[object]:
    return [
        *(endpoint.transport, endpoint.address, endpoint.token.hex()),
        *(endpoint.canary_offset, endpoint.canary.hex()),
    ]


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
