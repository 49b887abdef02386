"""What each image is made of, as far as it can be read."""

import json
import re
from pathlib import Path

import pytest

from tests.support.dockerfile import FILES, FOLDER, stages, told

ROOT = FOLDER.parents[1]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_is_pinned_slim_and_nobody_s(file: Path) -> None:
    build, last = stages(file)
    for stage in (build, last):
        (base,) = told(stage, "FROM")
        assert base.startswith("docker.io/library/python:3.11.")
        assert "-slim-" in base
    assert told(last, "USER") == ["10001:10001"], "whom the chart runs it as"
    assert last.index(("USER", "10001:10001")) > max(
        n for n, (name, _) in enumerate(last) if name in ("COPY", "RUN", "FROM")
    )
    assert json.loads(told(last, "ENTRYPOINT")[0]) == ["baton"]
    assert all(copied.startswith("--from=build /opt/") for copied in told(last, "COPY"))


def test_only_workers_have_torch() -> None:
    runs = {file.stem: " ".join(told(stages(file)[0], "RUN")) for file in FILES}
    assert set(runs) == {"gateway", "worker-cpu", "worker-cuda"}
    assert "torch" not in runs["gateway"]
    assert "worker" not in runs["gateway"]
    assert "torch==" in runs["worker-cpu"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_image_can_send_traces(file: Path) -> None:
    assert re.search(r"/src\[[a-z,]*otel", " ".join(told(stages(file)[0], "RUN")))


def test_what_is_installed_is_not_left_out_of_the_context() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    packages = {
        "baton",
        "gateway",
        "prefill_worker",
        "decode_worker",
        "encode_worker",
        "kv_transfer",
    }
    linked = {"deploy/prometheus"}  # from baton/cluster/prometheus
    assert allowed == packages | linked | {"pyproject.toml", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in allowed)
