"""Handles by which answers go on: whole, signed, for one tenant, for a time."""

import base64

import pytest

from baton.core.errors import RequestError
from gateway.handles.resume_handle import Begun, ResumeHandles, digest_of
from gateway.output.told_so_far import ToldSoFar

BEGUN = Begun("r-1", "model", digest_of("x"), -5, (3, 1, 4, 1, 5), ToldSoFar(7, 2, (1, 0)))


def handles(secret: str = "s", now: float = 1000.0) -> ResumeHandles:
    return ResumeHandles(secret, 60.0, lambda: now)


def refused(desk: ResumeHandles, handle: str, tenant: str = "t") -> str:
    with pytest.raises(RequestError) as caught:
        desk.open(handle, tenant)
    assert caught.value.param == "kv_transfer_params.resume"
    return str(caught.value)


def test_whoever_has_the_secret_opens_what_another_gateway_signed() -> None:
    assert handles().open(handles().sign(BEGUN, "t"), "t") == BEGUN


def test_it_is_good_for_its_time_and_its_tenant() -> None:
    handle = handles().sign(BEGUN, "t")
    assert handles(now=1059.0).open(handle, "t") == BEGUN
    assert "expired" in refused(handles(now=1060.0), handle)
    assert "another tenant's" in refused(handles(), handle, "u")
    assert "another tenant's" in refused(handles("other"), handle)


def test_without_a_secret_only_the_process_itself_opens_it() -> None:
    ours = handles("")
    handle = ours.sign(BEGUN, "t")
    assert ours.open(handle, "t") == BEGUN
    refused(handles(""), handle)


def test_not_a_bit_of_it_can_be_changed() -> None:
    raw = base64.urlsafe_b64decode(handles().sign(BEGUN, "t"))
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        refused(handles(), base64.urlsafe_b64encode(changed).decode())


@pytest.mark.parametrize("text", ["x", "é", "A" * 3, "A" * 400, "=" * 8, "\n"])
def test_what_is_no_handle_is_refused(text: str) -> None:
    refused(handles(), text)
