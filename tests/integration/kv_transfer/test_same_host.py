"""Which addresses are this host's own."""

import pytest

from kv_transfer.same_host import is_this_host

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("address", ["127.0.0.1:80", "localhost:1", "127.3.2.1:9000"])
def test_loopback_is_this_host(address: str) -> None:
    assert is_this_host(address)


@pytest.mark.parametrize("address", ["192.0.2.1:80", "[2001:db8::1]:80", "no such name:80", ":"])
def test_what_cannot_be_bound_here_is_another_host(address: str) -> None:
    """Of networks that are for documents only."""
    assert not is_this_host(address)
