"""gRPC servers: the cluster's secret at the door, named errors as status, a bounded goodbye."""

import asyncio
import hmac
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc

from baton.core.address import join_address
from baton.core.errors import BatonError, RequestError, SettingsError, UnavailableError
from baton.rpc.channel import KEEP_ALIVE, SECRET_KEY
from baton.rpc.errors import PARAM_KEY, RAISED, status_of
from baton.rpc.tls import server_credentials
from baton.rpc.tls_identity import TlsIdentity

logger = logging.getLogger(__name__)

OPTIONS = [
    *KEEP_ALIVE,
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.so_reuseport", 0),  # an occupied port is an error, not a share
]


# Kubernetes and load balancers ask without knowing anything of us; nothing is told but yes or no.
_OPEN_TO_ALL = "/grpc.health.v1.Health/"
_CALLS = frozenset({"_schedule_rpc_coro", "_handle_exceptions"})  # gRPC's coroutines of one call
_LAST_MOMENT = 1.0  # seconds


def make_server(secret: str = "") -> grpc.aio.Server:
    """A server whose handlers may raise any BatonError. With a secret, callers must show it."""
    interceptors: list[Any] = [_Door(secret), _Errors()] if secret else [_Errors()]
    return grpc.aio.server(interceptors=interceptors, options=OPTIONS)


def bind(server: grpc.aio.Server, host: str, port: int, tls: TlsIdentity | None = None) -> int:
    """The port that was taken. Raises SettingsError when nobody could listen there.

    With `tls` nobody gets in without a certificate that its authority has signed; the files are
    read again for each connection.
    """
    address = join_address(host, port)
    _check_free(host, port, address)
    try:
        if tls is not None:
            return server.add_secure_port(address, server_credentials(tls))
        return server.add_insecure_port(address)
    except RuntimeError as error:  # somebody took it since we looked
        raise SettingsError(f"cannot listen on {address}: is the port in use?") from error


def _check_free(host: str, port: int, address: str) -> None:
    """gRPC does not say why it cannot listen, and takes a port beyond 65535 for a smaller one."""
    if not 0 <= port <= 65535:
        raise SettingsError(f"cannot listen on {address}: ports end at 65535")
    try:
        family, kind, protocol, _, there = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(there)
    except OSError as error:
        raise SettingsError(f"cannot listen on {address}: {error.strerror}") from error


async def stop(server: grpc.aio.Server, seconds: float) -> None:
    """Gives calls `seconds` to end, then cuts them; returns once their tasks have ended as well.

    gRPC's own `stop` may return a moment earlier. A loop that is closed in that moment cancels the
    tasks, and gRPC prints a traceback for each.
    """
    await server.stop(seconds)
    calls = [task for task in asyncio.all_tasks() if _name_of(task) in _CALLS]
    if calls:
        await asyncio.wait(calls, timeout=_LAST_MOMENT)


def _name_of(task: "asyncio.Task[Any]") -> str:
    return getattr(task.get_coro(), "__qualname__", "")


class _Door(grpc.aio.ServerInterceptor):
    """Lets in who shows the secret, and whoever asks for the server's health."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    async def intercept_service(
        self, continuation: Callable[..., Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        shown = dict(handler_call_details.invocation_metadata or ()).get(SECRET_KEY, "")
        is_open = handler_call_details.method.startswith(_OPEN_TO_ALL)
        if is_open or hmac.compare_digest(str(shown).encode(), self._secret):
            return await continuation(handler_call_details)
        handler = await continuation(handler_call_details)
        return _refusing(handler) if handler is not None else None


def _refusing(handler: Any) -> Any:
    async def refuse(asked: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the cluster secret is wrong")

    return _rebuild(handler, refuse, refuse)


class _Errors(grpc.aio.ServerInterceptor):
    """Turns a raised BatonError into its status; anything else is logged and INTERNAL. No call ends
    without one.
    """

    async def intercept_service(
        self, continuation: Callable[..., Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method

        async def unary(request: Any, context: Any) -> Any:
            try:
                return await handler.unary_unary(request, context)
            except BatonError as error:
                await _abort(context, error)
            except asyncio.CancelledError:
                await _abort_given_up(context)
                raise
            except Exception as error:  # the top of a call: the peer must get an answer
                await _abort_unexpected(context, method, error)

        answer = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(asked: Any, context: Any) -> None:
            try:
                await _write_all(answer(asked, context), context)
            except BatonError as error:
                await _abort(context, error)
            except asyncio.CancelledError:
                await _abort_given_up(context)
                raise
            except Exception as error:  # likewise
                if _server_stopped(error):
                    return
                await _abort_unexpected(context, method, error)

        return _rebuild(handler, unary, stream)


def _server_stopped(error: Exception) -> bool:
    """The call was read just when this server had stopped: nobody is left to be answered. gRPC does
    not export the error's class.
    """
    return type(error).__name__ == "_ServerStoppedError"


async def _write_all(responses: Any, context: Any) -> None:
    """Runs a stream handler of either form; a cancelled call closes its generator at once."""
    if not isinstance(responses, AsyncGenerator):
        await responses
        return
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


_MAKE = {  # by what is streamed: the request, the response
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _rebuild(handler: Any, unary: Any, stream: Any) -> Any:
    make = _MAKE[handler.request_streaming, handler.response_streaming]
    return make(
        stream if handler.response_streaming else unary,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


async def _abort(context: Any, error: BatonError) -> None:
    param = error.param if isinstance(error, RequestError) else None
    trailing = (RAISED, (PARAM_KEY, param)) if param is not None else (RAISED,)
    await context.abort(status_of(error), str(error), trailing)


async def _abort_unexpected(context: Any, method: str, error: Exception) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    logger.exception("%s failed", method)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error", (RAISED,))


async def _abort_given_up(context: Any) -> None:
    """gRPC cancels the task of a call that is over, and says nothing for a handler that was cancelled
    by itself, as by a wait for something that another task gave up: its caller would wait in vain.
    """
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        await _abort(context, UnavailableError("the worker gave the call up"))
