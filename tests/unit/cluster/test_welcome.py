"""What a reader of `baton up` is told to do next."""

import json
import shlex

import pytest

from baton.cluster.supervisor import port_of
from baton.cluster.welcome import welcome
from gateway.http.tls import TlsSettings
from gateway.settings import GatewaySettings


def test_the_curl_can_be_pasted() -> None:
    lines = welcome("http://127.0.0.1:8000", ['it\'s "tiny"'], GatewaySettings())
    assert lines[0] == "endpoint: http://127.0.0.1:8000/v1"
    words = shlex.split(lines[2])
    assert words[:2] == ["curl", "http://127.0.0.1:8000/v1/chat/completions"]
    assert json.loads(words[-1])["model"] == 'it\'s "tiny"'
    assert lines[3:5] == ["or look at it:", "  http://127.0.0.1:8000/ui"]
    assert lines[-1] == "  baton chat"


def test_a_page_that_is_not_there_is_not_named() -> None:
    off = GatewaySettings(disable_status_page=True)
    assert not any("/ui" in line for line in welcome("http://127.0.0.1:8000", ["m"], off))


def test_what_the_cluster_wants_to_see_is_in_the_lines() -> None:
    settings = GatewaySettings(api_key=("secret",), tls=TlsSettings("my.crt"))
    lines = welcome("https://127.0.0.1:8000", ["m"], settings)
    curl = shlex.split(lines[2])
    assert curl[curl.index("--cacert") + 1] == "my.crt"
    assert "Authorization: Bearer YOUR_KEY" in curl
    chat = "BATON_API_KEY=YOUR_KEY baton chat --url https://127.0.0.1:8000 --cacert my.crt"
    assert lines[-1].strip() == chat
    assert not any("secret" in line for line in lines)


def test_a_socket_is_named_as_curl_wants_it() -> None:
    lines = welcome("unix:/run/b.sock", ["m"], GatewaySettings(uds="/run/b.sock"))
    curl = shlex.split(lines[2])
    assert curl[1:4] == ["--unix-socket", "/run/b.sock", "http://localhost/v1/chat/completions"]
    assert lines[-1] == "  baton chat --url unix:/run/b.sock"


def test_a_socket_has_no_port() -> None:
    assert port_of("unix:/run/b.sock") == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:8123", "https://[::1]:8123"])
def test_a_gateway_keeps_the_port_it_took(url: str) -> None:
    assert port_of(url) == 8123


def test_a_url_without_a_port_is_a_defect() -> None:
    with pytest.raises(ValueError, match="names no port"):
        port_of("http://127.0.0.1")


def test_who_has_a_prometheus_is_told_where_it_is() -> None:
    lines = welcome("http://127.0.0.1:8000", ["m"], GatewaySettings(), "http://127.0.0.1:9090")
    assert lines[-1].startswith("metrics: http://127.0.0.1:9090 ")
    assert not any("metrics" in line for line in welcome("http://h:1", ["m"], GatewaySettings()))
