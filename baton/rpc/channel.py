"""Client channels: alive or known to be dead within seconds, never retrying underneath."""

from collections.abc import Callable
from typing import Any

import grpc

from baton.rpc.tls import channel_credentials
from baton.rpc.tls_identity import TlsIdentity

SECRET_KEY = "baton-secret"  # metadata of every call inside a cluster

# A silent peer is given up after interval + timeout = 6 s; a closed socket at once. The ping has
# a time limit of its own (a minute if it is not set), and without it the timeout has no effect.
KEEP_ALIVE = [
    ("grpc.keepalive_time_ms", 4_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
]
OPTIONS = [
    *KEEP_ALIVE,
    ("grpc.enable_retries", 0),  # a request carries its attempt; the gateway alone repeats it
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.use_local_subchannel_pool", 1),  # closing a channel closes its socket
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]

# Of channels that carry megabytes, in both directions of a stream.
BULK_OPTIONS = [
    *OPTIONS,
    ("grpc.optimization_target", "throughput"),
    ("grpc.http2.max_frame_size", (16 << 20) - 1),
    ("grpc.http2.lookahead_bytes", 64 << 20),
    ("grpc.http2.bdp_probe", 0),  # the window is as large as it gets from the beginning
    ("grpc.http2.write_buffer_size", 32 << 20),
    ("grpc.experimental.tcp_read_chunk_size", 4 << 20),
]


def open_channel(
    address: str, secret: str = "", tls: TlsIdentity | None = None
) -> grpc.aio.Channel:
    """A channel to host:port whose calls all show the cluster's secret.

    With `tls` both sides show certificates, and the other's must be for that host.
    """
    if tls is None:
        channel = grpc.aio.insecure_channel(address, options=OPTIONS)
    else:
        channel = grpc.aio.secure_channel(address, channel_credentials(tls), options=OPTIONS)
    return SecretChannel(channel, secret) if secret else channel


def open_bulk_channel(address: str, tls: TlsIdentity | None = None) -> grpc.Channel:
    """For a thread that reads megabytes: it blocks, and shares no socket with other channels.

    Its calls show the secret by `secret_metadata`; `tls` is as in `open_channel`.
    """
    if tls is None:
        return grpc.insecure_channel(address, options=BULK_OPTIONS)
    return grpc.secure_channel(address, channel_credentials(tls), options=BULK_OPTIONS)


def secret_metadata(secret: str) -> tuple[tuple[str, str], ...]:
    return ((SECRET_KEY, secret),) if secret else ()


class SecretChannel(grpc.aio.Channel):
    """Adds the secret to each call's metadata.

    Not an interceptor: those put a generator of their own between a stream and its reader.
    """

    def __init__(self, channel: grpc.aio.Channel, secret: str) -> None:
        self._channel = channel
        self._metadata = secret_metadata(secret)

    async def __aenter__(self) -> "SecretChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._shown(self._channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._shown(self._channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._shown(self._channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._shown(self._channel.stream_stream(*args, **kwargs))

    def _shown(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def with_secret(*args: Any, metadata: Any = None, **kwargs: Any) -> Any:
            return call(*args, metadata=(*(metadata or ()), *self._metadata), **kwargs)

        return with_secret
