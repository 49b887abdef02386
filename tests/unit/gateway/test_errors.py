"""What each error means to an HTTP client."""

import pytest

from baton.core.errors import (
    BatonError,
    InternalError,
    NotFoundError,
    RefusedError,
    RequestError,
    TransferError,
    UnavailableError,
)
from gateway.errors import BodyTooLargeError, NoRoomError, OverloadedError, TooLateError, reply_to


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (RequestError("x", "n"), 400, None),
        (NotFoundError("x", "model"), 404, None),
        (BodyTooLargeError("x"), 413, None),
        (OverloadedError("x", 7), 429, "7"),
        (NoRoomError("x", 3), 503, "3"),
        (TooLateError("x", 3), 504, "3"),
        (UnavailableError("x"), 503, "1"),
        (RefusedError("x"), 503, "1"),
        (TransferError("x"), 503, "1"),
        (InternalError("x"), 500, None),
    ],
)
def test_every_branch_has_its_status(
    error: BatonError, status: int, retry_after: str | None
) -> None:
    reply = reply_to(error)
    assert reply.status == status
    assert reply.headers.get("Retry-After") == retry_after
    assert set(reply.body) == {"error"}


def test_the_body_names_the_field() -> None:
    assert reply_to(RequestError("wrong", "n")).body == {
        "error": {"message": "wrong", "type": "BadRequestError", "param": "n", "code": 400}
    }


def test_our_own_faults_tell_nothing_of_our_insides() -> None:
    for kind in (InternalError, UnavailableError, TransferError, RefusedError):
        assert "secret" not in reply_to(kind("secret 10.0.0.1")).message


def test_a_worker_that_refuses_has_not_gone_away() -> None:
    assert "has no room for it" in reply_to(RefusedError("too many blocks are held")).message
