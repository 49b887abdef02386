"""Who is let in, and under which prefix."""

import hashlib

import pytest

from gateway.http.auth import bearer_of
from gateway.root_path import path_of, without
from gateway.tenants.roster import Roster
from gateway.tenants.tenant import DEFAULT, Known


def test_each_key_of_a_flag_has_cached_prefixes_of_its_own() -> None:
    roster = Roster(["one", "two"])
    found = roster.find(b"one")
    assert found == Known(DEFAULT, hashlib.sha256(b"one").hexdigest())
    for wrong in (b"", b"on", b"one ", b"three", "öne".encode()):
        assert roster.find(wrong) is None


def test_empty_keys_are_none() -> None:
    assert not Roster(["", ""])
    assert Roster(["", "x"]).find(b"") is None


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"Bearer x", b"x"),
        (b"bearer x", b"x"),
        (b"BEARER  x ", b"x"),
        (b"Bearer", b""),
        (b"Bearerx", b""),
        (b"Basic x", b""),
        (b"", b""),
    ],
)
def test_only_thebearer_of_scheme_counts(header: bytes, key: bytes) -> None:
    assert bearer_of(header) == key


@pytest.mark.parametrize(
    ("root", "path", "inside"),
    [
        ("", "/v1/models", "/v1/models"),
        ("/llm", "/llm/v1/models", "/v1/models"),
        ("/llm", "/v1/models", "/v1/models"),
        ("/llm", "/llmv1/models", "/llmv1/models"),
        ("/llm", "/llm", ""),
        ("/llm", "/llm/", "/"),
    ],
)
def test_the_proxys_prefix_is_taken_off(root: str, path: str, inside: str) -> None:
    assert without(root, path) == inside
    assert path_of({"root_path": root, "path": path}) == inside
