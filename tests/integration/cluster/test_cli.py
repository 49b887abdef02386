"""The `baton` command, run as a program or against a gateway's stand-in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from baton import __version__
from baton.cluster.cli import COMMANDS
from tests.support.baton_command import baton
from tests.support.fake_status import answering

PAGE = {
    "model": "tiny",
    "queued": 2,
    "workers": [
        {
            "id": "decode-0",
            "role": "decode",
            "state": "ready",
            "pid": 7,
            "address": "127.0.0.1:1",
            "metrics_url": "http://127.0.0.1:2/metrics",
            "model": "tiny",
            "running": 0,
            "waiting": 0,
            "kv_usage": 0.5,
            "free_blocks": 4,
            "total_blocks": 8,
            "leased_blocks": 0,
            "reserved_blocks": 0,
        }
    ],
}


def test_the_version_is_the_projects() -> None:
    assert baton("--version").stdout == f"baton, version {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = baton(name, "--help")
    assert result.exit_code == 0
    assert f" {name} [OPTIONS]" in result.stdout


def test_help_loads_neither_torch_nor_transformers() -> None:
    program = """
import sys
from click.testing import CliRunner
from baton.cluster.cli import COMMANDS, main
for words in [["--help"], *([name, "--help"] for name in COMMANDS)]:
    assert CliRunner().invoke(main, words).exit_code == 0, words
assert not {"torch", "transformers", "ray"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_status_shows_a_table() -> None:
    with answering(json.dumps(PAGE).encode()) as url:
        result = baton("status", "--url", url + "/")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "tiny: 1 worker, 2 queued"
    assert "decode-0" in result.stdout


def test_status_passes_the_gateways_json_on() -> None:
    with answering(json.dumps(PAGE).encode()) as url:
        assert json.loads(baton("status", "--json", "--url", url).stdout) == PAGE


def test_status_takes_its_url_from_the_environment() -> None:
    with answering(json.dumps(PAGE).encode()) as url:
        assert baton("status", env={"BATON_URL": url}).exit_code == 0


def test_a_url_may_come_without_its_scheme() -> None:
    with answering(json.dumps(PAGE).encode()) as url:
        assert baton("status", "--url", url.removeprefix("http://")).exit_code == 0


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 404, "it answers 404 to GET /status"),
        (b"<html>", 200, "is no baton gateway"),
        (b"[]", 200, "it lists no workers"),
    ],
)
def test_another_server_is_told_from_a_gateway(body: bytes, status: int, sentence: str) -> None:
    with answering(body, status) as url:
        result = baton("status", "--url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("behind", ["/", "/v1", "/v1/"])
def test_the_endpoint_as_clients_of_openai_have_it_is_understood(behind: str) -> None:
    with answering(json.dumps(PAGE).encode()) as url:
        result = baton("status", "--url", url + behind)
    assert result.exit_code == 0
    assert "decode-0" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("replay", "poisson:", "--rate-scale", "nan"),
        ("replay", "poisson:", "--length-scale", "inf"),
        ("simulate", "poisson:", "--profile", "baton-demo-cpu", "--max-queue-seconds", "nan"),
        ("plan", "poisson:", "--slo-ttft-ms", "nan"),
        ("top", "--interval", "nan"),
        ("chat", "--temperature", "nan"),
    ],
)
def test_what_is_no_finite_number_is_refused_by_its_flag(words: tuple[str, ...]) -> None:
    result = baton(*words)
    assert result.exit_code == 2
    assert f"Invalid value for '{words[-2]}': {words[-1]} is not a finite number." in result.stderr


def test_no_server_is_one_sentence() -> None:
    with answering(b"") as url:
        pass
    result = baton("status", "--url", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: no gateway answers at {url}")


def test_a_folder_that_holds_something_is_not_made_a_model(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    result = baton("make-model", "--preset", "hash", str(tmp_path))
    assert result.exit_code == 78
    assert "--force replaces it" in result.stderr


def test_a_mistyped_command_gets_a_suggestion() -> None:
    result = baton("stats")
    assert result.exit_code == 2
    assert "No such command 'stats'. (Did you mean status" in result.stderr
    assert "No such command 'xyzzy'." in baton("xyzzy").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(shell: str) -> None:
    result = baton("completion", shell)
    assert result.exit_code == 0
    assert f"_BATON_COMPLETE={shell}_complete" in result.stdout


def test_flags_are_completed() -> None:
    words = {
        "_BATON_COMPLETE": "bash_complete",
        "COMP_WORDS": "baton up --ssl-c",
        "COMP_CWORD": "2",
    }
    program = [sys.executable, "-m", "baton.cluster.cli"]
    done = subprocess.run(
        program, env={**os.environ, **words}, capture_output=True, text=True, timeout=50
    )
    assert "plain,--ssl-certfile" in done.stdout.splitlines()
