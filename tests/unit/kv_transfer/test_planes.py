"""Which data planes may be used."""

import pytest

from kv_transfer.transports.planes import allowed, exposed

PLANES = ("shm", "tcp", "grpc", "one that nobody has named here")


@pytest.mark.parametrize(
    ("choice", "tls", "left"),
    [
        ("auto", False, PLANES),
        ("auto", True, ("shm", "grpc")),
        ("tcp", False, ("tcp",)),
        ("tcp", True, ("tcp",)),
        ("shm", True, ("shm",)),
    ],
)
def test_tls_leaves_out_what_is_in_the_clear_unless_it_is_asked_for(
    choice: str, tls: bool, left: tuple[str, ...]
) -> None:
    assert tuple(plane for plane in PLANES if allowed(choice, plane, tls)) == left


def test_an_operator_who_asks_for_it_is_warned() -> None:
    warning = exposed("tcp", tls=True)
    assert warning is not None
    assert "--kv-transport tcp sends KV caches unencrypted" in warning
    assert exposed("tcp", tls=False) is None
    for choice in ("auto", "shm", "grpc"):
        assert exposed(choice, tls=True) is None
