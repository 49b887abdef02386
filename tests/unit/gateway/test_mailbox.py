"""A letterbox that slows its writers down and lets them go when it is shut."""

import pytest

from baton.core.errors import InternalError, UnavailableError
from gateway.serving.mailbox import Mailbox


async def test_letters_come_in_order() -> None:
    box: Mailbox[int] = Mailbox(4)
    for letter in range(3):
        assert box.post(letter)
    assert [await box.get(1.0) for _ in range(3)] == [0, 1, 2]


async def test_silence_is_an_error() -> None:
    box: Mailbox[int] = Mailbox(1)
    with pytest.raises(UnavailableError):
        await box.get(0.01)


async def test_a_failure_is_read_before_anything_else() -> None:
    box: Mailbox[int] = Mailbox(4)
    box.post(1)
    box.fail(InternalError("x"))
    with pytest.raises(InternalError):
        await box.get(1.0)


async def test_what_is_posted_is_kept_and_its_writer_told_to_stop() -> None:
    box: Mailbox[int] = Mailbox(2)
    went_on: list[bool] = []
    assert box.post(1)
    assert not box.post(2)
    box.when_room(lambda: went_on.append(True))
    assert not box.post(3)  # it was on its way
    assert await box.get(1.0) == 1
    assert not went_on
    assert [await box.get(1.0) for _ in range(2)] == [2, 3]
    assert went_on == [True]


async def test_once_shut_a_writer_that_stopped_goes_on_and_is_not_read() -> None:
    box: Mailbox[int] = Mailbox(1)
    went_on: list[bool] = []
    assert not box.post(1)
    box.when_room(lambda: went_on.append(True))
    box.shut()
    assert went_on == [True]
    assert box.post(2)


async def test_all_writers_that_stopped_go_on_together() -> None:
    box: Mailbox[int] = Mailbox(1)
    went_on: list[str] = []
    assert not box.post(1)
    box.when_room(lambda: went_on.append("one"))
    box.when_room(lambda: went_on.append("other"))
    assert await box.get(1.0) == 1
    assert went_on == ["one", "other"]
    assert not box.post(2)
    assert await box.get(1.0) == 2
    assert went_on == ["one", "other"]
