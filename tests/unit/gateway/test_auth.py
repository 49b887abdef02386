"""Who is let in, and under which prefix."""

import hashlib

import pytest

from gateway.auth import Keys, bearer_of
from gateway.root_path import path_of, without


def test_each_key_is_a_tenant_of_its_own() -> None:
    keys = Keys(["one", "two"])
    assert keys.tenant_of(b"one") == hashlib.sha256(b"one").hexdigest()
    assert keys.tenant_of(b"two") == hashlib.sha256(b"two").hexdigest()
    for wrong in (b"", b"on", b"one ", b"three", "öne".encode()):
        assert keys.tenant_of(wrong) is None


def test_empty_keys_are_none() -> None:
    assert not Keys(["", ""])
    assert Keys(["", "x"]).tenant_of(b"") is None


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
