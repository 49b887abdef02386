"""deploy/compose.yaml starts what the command line takes."""

from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from baton.cluster.cli import main
from baton.settings.field import variables_of
from baton.worker.settings import WorkerSettings
from gateway.settings import GatewaySettings

FILE = Path(__file__).parents[3] / "deploy" / "compose.yaml"
KINDS: dict[str, type[Any]] = {
    "gateway": GatewaySettings,
    "prefill": WorkerSettings,
    "decode": WorkerSettings,
}
NOT_OURS = {"HF_HOME"}


@pytest.mark.parametrize("name", KINDS)
def test_each_command_is_one_that_starts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = yaml.safe_load(FILE.read_text("utf-8"))["services"][name]
    variables = service["environment"]
    assert set(variables) - NOT_OURS <= variables_of(KINDS[name]), "nobody reads them"
    for variable, value in variables.items():
        monkeypatch.setenv(variable, _default(value))
    command, *words = service["command"]
    found = main.get_command(click.Context(main), command)
    assert found is not None

    context = found.make_context(command, words)

    assert context.params["model"] == "/opt/baton/demo"
    assert context.params["host"] == "0.0.0.0"
    assert context.params["redis_url"] == "redis://redis:6379"
    if name != "gateway":
        assert context.params["advertise_host"] == name
        assert str(context.params["metrics_port"]) in str(service["healthcheck"]["test"])


def _default(value: str) -> str:
    """`${NAME:-default}` as Compose reads it where NAME is not set."""
    return value.partition(":-")[2].rstrip("}") if value.startswith("${") else value
