"""Which data planes a worker may use. Pure."""

from kv_transfer.transports.negotiate import AUTO

# Its bytes stay on the host, or go through the workers' gRPC and so through its TLS. A plane that
# is not named here sends them in the clear.
PRIVATE = frozenset({"shm", "grpc"})


def allowed(choice: str, transport: str, tls: bool) -> bool:
    """`choice` is auto or the one transport wanted; `tls`: gRPC is mutual TLS, so that auto must
    not send KV caches in the clear.
    """
    if choice != AUTO:
        return transport == choice
    return transport in PRIVATE or not tls


def exposed(choice: str, tls: bool) -> str | None:
    """A warning for an operator whose choice undoes what TLS is there for."""
    if not tls or choice == AUTO or choice in PRIVATE:
        return None
    return (
        f"--kv-transport {choice} sends KV caches unencrypted, although all gRPC is mutual TLS; "
        "auto does not"
    )
