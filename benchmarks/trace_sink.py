"""A collector of traces that throws them away, so that what sending them costs is the sender's alone.

python -m benchmarks.trace_sink
"""

import asyncio
import signal
from typing import Any

import click
import grpc

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Sink(grpc.GenericRpcHandler):
    """Counts bytes and looks at none of them."""

    def __init__(self) -> None:
        self.bytes = 0

    def service(self, details: Any) -> Any:
        if details.method != EXPORT:
            return None
        return grpc.unary_unary_rpc_method_handler(self._take)

    async def _take(self, request: bytes, context: Any) -> bytes:
        self.bytes += len(request)
        return b""


@click.command()
def main() -> None:
    """Says its port in one line, and at SIGINT in another how many bytes came."""
    asyncio.run(_serve())


async def _serve() -> None:
    sink, server, over = Sink(), grpc.aio.server(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, over.set)
    server.add_generic_rpc_handlers((sink,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    click.echo(port)
    await over.wait()
    await server.stop(None)
    click.echo(sink.bytes)


if __name__ == "__main__":
    main()
