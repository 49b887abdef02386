"""What a cluster that has just become ready says to whoever started it."""

import json
import shlex
from collections.abc import Sequence

from gateway.settings import GatewaySettings

_DEFAULT_URL = "http://127.0.0.1:8000"  # of `baton chat`


def welcome(
    url: str, models: Sequence[str], settings: GatewaySettings, metrics: str = ""
) -> list[str]:
    """`url` as the gateway announced it: http(s)://HOST:PORT or unix:PATH. `metrics`: of a
    Prometheus, if there is one.
    """
    lines = [f"endpoint: {url}/v1"]
    if len(models) > 1:
        lines.append(f"models: {', '.join(models)}")
    lines += ["try it:", f"  {_curl(url, models[0], settings)}"]
    if not settings.disable_status_page and not url.startswith("unix:"):
        lines += ["or look at it:", f"  {url}/ui"]
    lines += ["or talk to it:", f"  {_chat(url, settings)}"]
    if metrics:
        lines.append(f"metrics: {metrics} (Prometheus; what it stores is gone with the cluster)")
    return lines


def _curl(url: str, model: str, settings: GatewaySettings) -> str:
    words = ["curl"]
    if url.startswith("unix:"):
        words += ["--unix-socket", url.removeprefix("unix:")]
        url = "http://localhost"
    words += [f"{url}/v1/chat/completions", "-H", "Content-Type: application/json"]
    if settings.api_key:
        words += ["-H", "Authorization: Bearer YOUR_KEY"]
    if settings.tls.ssl_certfile:
        words += ["--cacert", settings.tls.ssl_certfile]
    messages = [{"role": "user", "content": "Hello"}]
    body = json.dumps({"model": model, "max_tokens": 32, "messages": messages})
    return shlex.join([*words, "-d", body])


def _chat(url: str, settings: GatewaySettings) -> str:
    words = ["BATON_API_KEY=YOUR_KEY"] if settings.api_key else []
    words += ["baton", "chat"]
    if url != _DEFAULT_URL:
        words += ["--url", url]
    if settings.tls.ssl_certfile:
        words += ["--cacert", settings.tls.ssl_certfile]
    return shlex.join(words)
