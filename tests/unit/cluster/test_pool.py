"""Several models under `baton up`: whose workers there are, and what each is told."""

import json
import re
from pathlib import Path

import pytest

from baton.cluster.child_process import Command
from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.planner.settings import PlannerSettings
from baton.cluster.up_settings import UpSettings
from baton.core.errors import SettingsError
from baton.core.worker_info import Role
from baton.worker.settings import WorkerSettings
from gateway.settings import GatewaySettings

FILE = """
models:
  - model: {b}
    served-model-name: org/b
    decode-workers: 2
    threads: 3
    dtype: float32
    kv-cache-memory-bytes: 1GiB
    chat-template: b.jinja
  - model: {c}
    served-model-name: [other/b, c]
    prefill-workers: 0
"""


@pytest.fixture
def settings(tmp_path: Path) -> UpSettings:
    folders = {name: tmp_path / name for name in "abc"}
    for folder in folders.values():
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    file = tmp_path / "models.yaml"
    file.write_text(FILE.format(**folders))
    return UpSettings(
        model=str(folders["a"]),
        gateway=GatewaySettings(models_file=str(file)),
        worker=WorkerSettings(dtype="bfloat16", max_num_seqs=5, kv_transport="tcp"),
    )


def flag(command: Command, name: str) -> str | None:
    return command.argv[command.argv.index(name) + 1] if name in command.argv else None


def worker(plan: LaunchPlan, worker_id: str) -> Command:
    role = Role.PREFILL if "prefill" in worker_id else Role.DECODE
    return plan.worker(worker_id, role, "127.0.0.1:1", 0)


def plan_of(settings: UpSettings) -> LaunchPlan:
    return LaunchPlan(settings, "5ec2e7", {}, 12, "text")


def test_workers_of_other_models_bear_the_models_name(settings: UpSettings) -> None:
    settings.check_models()
    assert [name for name, _ in plan_of(settings).workers()] == [
        *("prefill-0", "decode-0"),
        *("b-prefill-0", "b-decode-0", "b-decode-1"),
        "b-2-decode-0",
    ]


def test_each_is_told_its_model_and_what_is_of_all(settings: UpSettings, tmp_path: Path) -> None:
    plan = plan_of(settings.located(print))
    first, second = worker(plan, "decode-0"), worker(plan, "b-decode-1")
    assert (flag(first, "--dtype"), flag(second, "--dtype")) == ("bfloat16", "float32")
    assert (flag(first, "--max-num-seqs"), flag(second, "--max-num-seqs")) == ("5", None)
    assert flag(second, "--kv-cache-memory-bytes") == str(1 << 30)
    assert flag(second, "--model") == str(tmp_path / "b")
    assert flag(second, "--served-model-name") == "org/b"
    assert flag(second, "--kv-transport") == "tcp"
    assert flag(worker(plan, "b-2-decode-0"), "--served-model-name") == "other/b"
    threads = [flag(worker(plan, name), "--threads") for name, _ in plan.workers()]
    assert threads == ["2", "2", "3", "3", "3", "2"]  # twelve cores, six workers


def test_the_gateway_is_told_no_more_than_it_reads(settings: UpSettings, tmp_path: Path) -> None:
    command = plan_of(settings.located(print)).gateway(8000, 1)
    told = json.loads(flag(command, "--models-file") or "")
    assert told == {
        "models": [
            {
                "model": str(tmp_path / "b"),
                "served-model-name": ["org/b"],
                "chat-template": "b.jinja",
            },
            {"model": str(tmp_path / "c"), "served-model-name": ["other/b", "c"]},
        ]
    }
    read = GatewaySettings(model="a", models_file=json.dumps(told))
    read.check()
    assert [one.served_names for one in read.models[1:]] == [("org/b",), ("other/b", "c")]


def test_without_a_model_of_the_flags_the_first_of_the_file_is_the_first(
    settings: UpSettings, tmp_path: Path
) -> None:
    file = settings.gateway.models_file
    told = UpSettings(gateway=GatewaySettings(models_file=file)).with_first()
    told.check_models()
    plan = plan_of(told)
    assert [name for name, _ in plan.workers()] == [
        *("prefill-0", "decode-0", "decode-1"),
        "b-decode-0",
    ]
    first = worker(plan, "decode-0")
    assert (flag(first, "--model"), flag(first, "--dtype")) == (str(tmp_path / "b"), "float32")
    assert flag(first, "--served-model-name") == "org/b"
    assert flag(plan.gateway(1, 2), "--chat-template") == "b.jinja"
    for said in (
        UpSettings(decode_workers=2, gateway=GatewaySettings(models_file=file)),
        UpSettings(
            worker=WorkerSettings(dtype="float32"), gateway=GatewaySettings(models_file=file)
        ),
    ):
        with pytest.raises(SettingsError, match="tells of the model that --model names"):
            said.with_first()


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("decode-workers: 0", "decode-workers of b must be at least 1, not 0"),
        ("prefill-workers: -1", "prefill-workers of b must be at least 0"),
        ("threads: 0", "threads of b must be at least 1"),
        ("max-num-seqs: 0", "b: --max-num-seqs must be at least 1"),
        ("dtype: int4", "models[0].dtype: 'int4' is not one of"),
        ("decode-worker: 1", "models[0].decode-worker is no setting of an entry; did you mean"),
        ("port: 1", "models[0].port is for all of them together"),
        ("device: cpu", "models[0].device is for all of them together"),
        ("served-model-name: a", "a is the name of two models"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, entry: str, complaint: str) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(f"models:\n  - model: b\n    {entry}\n")
    told = UpSettings(model="a", gateway=GatewaySettings(models_file=str(file)))
    with pytest.raises(SettingsError, match=re.escape(complaint)) as error:
        told.check_models()
    assert "--models-file" in str(error.value)


def test_what_knows_one_model_only_is_refused_by_name(settings: UpSettings) -> None:
    gateway = settings.gateway
    in_ray = UpSettings(model="a", gateway=gateway, orchestrator="ray")
    with pytest.raises(SettingsError, match="--models-file is for --orchestrator processes"):
        in_ray.check_models()
    planned = UpSettings(
        model="a", gateway=gateway, planning=PlannerSettings(planner="on", slo_ttft_ms=100.0)
    )
    with pytest.raises(SettingsError, match="--planner sizes a cluster of one model"):
        planned.check_models()
