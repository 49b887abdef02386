"""What a reader of `baton up` is told to do next."""

import json
import shlex

from baton.cluster.supervisor import GatewayPlace, place_of, welcome


def test_the_curl_can_be_pasted() -> None:
    lines = welcome("http://127.0.0.1:8000", 'it\'s "tiny"')
    assert lines[0] == "endpoint: http://127.0.0.1:8000/v1"
    words = shlex.split(lines[-1])
    assert words[:2] == ["curl", "http://127.0.0.1:8000/v1/chat/completions"]
    assert json.loads(words[-1])["model"] == 'it\'s "tiny"'


def test_a_gateway_keeps_the_ports_it_took() -> None:
    url, registry = "http://127.0.0.1:8123", "127.0.0.1:8124"
    assert place_of(url, registry) == GatewayPlace(8123, 8124, url, registry)
