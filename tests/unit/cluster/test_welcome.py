"""What a reader of `baton up` is told to do next."""

import json
import shlex

import pytest

from baton.cluster.supervisor import port_of, welcome


def test_the_curl_can_be_pasted() -> None:
    lines = welcome("http://127.0.0.1:8000", 'it\'s "tiny"')
    assert lines[0] == "endpoint: http://127.0.0.1:8000/v1"
    words = shlex.split(lines[-1])
    assert words[:2] == ["curl", "http://127.0.0.1:8000/v1/chat/completions"]
    assert json.loads(words[-1])["model"] == 'it\'s "tiny"'


@pytest.mark.parametrize("url", ["http://127.0.0.1:8123", "https://[::1]:8123"])
def test_a_gateway_keeps_the_port_it_took(url: str) -> None:
    assert port_of(url) == 8123


def test_a_url_without_a_port_is_a_defect() -> None:
    with pytest.raises(ValueError, match="names no port"):
        port_of("http://127.0.0.1")
