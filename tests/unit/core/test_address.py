"""An address is one word that another process can take apart again."""

import pytest

from baton.core.address import join_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("localhost", "localhost:80"),
        ("::1", "[::1]:80"),
        ("[::1]", "[::1]:80"),
    ],
)
def test_only_the_colons_of_a_host_need_brackets(host: str, address: str) -> None:
    assert join_address(host, 80) == address
