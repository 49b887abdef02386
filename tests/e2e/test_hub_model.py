"""A cluster whose model is named by its hub id."""

from pathlib import Path

import pytest

from baton.cluster.model_presets import make_model
from tests.support.cluster import running_cluster
from tests.support.fake_hub import COMMIT, MODEL, running_hub

pytestmark = pytest.mark.timeout(180)

TOKEN = "hf_secret"


async def test_up_downloads_once_and_its_processes_never_see_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model("hash", tmp_path / "held", print)
    with running_hub(tmp_path / "held") as hub:
        hub.token = TOKEN
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        async with running_cluster(
            Path(MODEL),
            revision="main",
            download_dir=tmp_path / "cache",
            kv_cache_memory_bytes=8 << 20,
        ) as cluster:
            files = [name for name, _ in hub.gets]
            folder = tmp_path / "cache/models--org--name/snapshots" / COMMIT
            commands = [_read(pid, "cmdline") for pid in cluster.processes()]
            children = [_read(pid, "environ") for pid in cluster.processes()]
            lines = [*cluster.output]

    assert any(f'"model": "{MODEL}"' in line for line in lines)  # of the request to try
    assert len(files) == len(set(files))
    assert sum(f"--model\0{folder}".encode() in command for command in commands) == 3
    assert sum(TOKEN.encode() in environment for environment in children) == 1  # that of `baton up`
    assert not any(TOKEN.encode() in command for command in commands)
    assert not any(TOKEN in line for line in lines)


def _read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()
