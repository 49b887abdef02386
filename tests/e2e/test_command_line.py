"""A cluster as a careful operator starts it: settings in a file, keys, HTTPS, then a chat."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.support.certificates import make_certificate
from tests.support.cluster import baton_up

KEYS = ("first-secret-key", "second-secret-key")


async def baton(*words: str, sent: str = "", **env: str) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "baton.cluster.cli", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(sent.encode())
    return process.returncode, out.decode(), err.decode()


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def test_a_file_of_settings_keys_and_https(hash_model: Path, tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    file = tmp_path / "cluster.yaml"
    file.write_text(
        f"model: {hash_model}\nport: 0\nserved-model-name: [one, two]\n"
        f"api-key: [{', '.join(KEYS)}]\nkv-cache-memory-bytes: 8MiB\n"
        f"ssl-certfile: {made.cert}\nssl-keyfile: {made.key}\nenable-log-requests: true\n"
    )
    async with baton_up("--config", str(file), "--log-format", "json") as cluster:
        endpoint = await cluster.until_said("endpoint: https://", 120)
        hint = await cluster.until_said("  BATON_API_KEY=YOUR_KEY baton chat", 30)
        assert f"--cacert {made.cert}" in hint
        env = {
            "BATON_URL": endpoint.removeprefix("endpoint: ").removesuffix("/v1"),
            "BATON_CACERT": str(made.cert),
        }
        code, answer, err = await baton("chat", sent="hello", BATON_API_KEY=KEYS[1], **env)
        assert (code, err) == (0, "")
        assert answer.strip()
        code, table, _ = await baton("status", BATON_API_KEY=KEYS[0], **env)
        assert code == 0
        assert "prefill-0" in table
        code, _, err = await baton("status", BATON_API_KEY="third", **env)
        assert code == 1
        assert "API key is not known" in err
        command_lines = [command_line(pid) for pid in cluster.processes()]
        assert any("\0prefill\0" in line for line in command_lines)
        assert not any(key in line for line in command_lines for key in KEYS)
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.exit_code() == 0
    assert any("asks with " in line and "hello" in line for line in cluster.output)
    assert not any(key in line for line in cluster.output for key in KEYS)


async def test_a_unix_socket(hash_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.sock"
    flags = ("--kv-cache-memory-bytes", "8MiB", "--uds", str(path))
    async with baton_up(str(hash_model), *flags) as cluster:
        await cluster.until_said(f"endpoint: unix:{path}", 120)
        code, answer, err = await baton("chat", "--url", f"unix:{path}", sent="hello")
        assert (code, err) == (0, "")
        assert answer.strip()
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.exit_code() == 0
    assert not path.exists()


async def test_a_wrong_file_is_one_sentence_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("prefil-workers: 2\n")
    async with baton_up("--config", str(file)) as cluster:
        assert await cluster.exit_code() == 78
    assert cluster.output == [f"Error: {file}: prefil-workers is no setting of baton up"]
