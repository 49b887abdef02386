"""What a gateway believes of what it finds in Redis."""

from dataclasses import replace

import pytest

from baton.registry.signed_record import UntrustedRecordError, opened, sign, signature
from baton.rpc.wire import worker_info_to_pb
from tests.support.worker_infos import worker_info

INFO = worker_info("decode-0")
SECRET = "the cluster's secret"


def test_a_signed_record_gives_the_description_back() -> None:
    assert opened(sign(INFO, SECRET, "baton"), "decode-0", SECRET, "baton") == INFO


def test_the_same_description_gives_the_same_record_and_another_instance_another() -> None:
    record = sign(INFO, SECRET, "baton")
    assert sign(worker_info("decode-0"), SECRET, "baton") == record
    assert sign(replace(INFO, instance_id="two"), SECRET, "baton") != record


def test_no_changed_byte_is_believed() -> None:
    record = sign(INFO, SECRET, "baton")
    for place in range(len(record)):
        changed = bytearray(record)
        changed[place] ^= 1
        with pytest.raises(UntrustedRecordError, match="secret"):
            opened(bytes(changed), "decode-0", SECRET, "baton")


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33])
def test_no_piece_of_a_record_is_believed(length: int) -> None:
    with pytest.raises(UntrustedRecordError):
        opened(sign(INFO, SECRET, "baton")[:length], "decode-0", SECRET, "baton")


@pytest.mark.parametrize("secret", ["", "guess"])
def test_a_record_signed_with_another_secret_is_not_believed(secret: str) -> None:
    with pytest.raises(UntrustedRecordError, match="not signed with this cluster's secret"):
        opened(sign(INFO, secret, "baton"), "decode-0", SECRET, "baton")


def test_a_record_under_another_name_is_not_believed() -> None:
    with pytest.raises(UntrustedRecordError, match="describes 'decode-0'"):
        opened(sign(INFO, SECRET, "baton"), "decode-1", SECRET, "baton")


def test_a_record_of_another_cluster_is_not_believed() -> None:
    with pytest.raises(UntrustedRecordError):
        opened(sign(INFO, SECRET, "baton"), "decode-0", SECRET, "other")


def test_a_record_never_holds_the_secret() -> None:
    assert SECRET.encode() not in sign(INFO, SECRET, "baton")


def test_a_signed_message_that_makes_no_sense_here_is_not_believed() -> None:
    unknown_role = worker_info_to_pb(INFO)
    unknown_role.ClearField("role")
    for body in (b"nonsense", unknown_role.SerializeToString()):
        record = signature(body, SECRET, "baton") + body
        with pytest.raises(UntrustedRecordError, match="another version"):
            opened(record, "decode-0", SECRET, "baton")
