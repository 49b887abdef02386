"""Gateways of one cluster that meet in a Redis of their own, with workers on the hash model."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

import click
import yaml

from baton.cluster.model_presets import make_model
from benchmarks.processes import free_port, subprocess_all, until_members

BLOCK = 16  # tokens
CHUNK = 128  # tokens of prompts in a step: what is cached saves steps
WORKERS = ("prefill_worker", "prefill_worker", "decode_worker", "decode_worker")
_READY = 20.0  # seconds


class RedisServer:
    """Keeps nothing on disk: one that was killed comes back empty."""

    def __init__(self, folder: Path) -> None:
        program = which("redis-server")
        if program is None:
            raise click.ClickException("redis-server is not installed")
        self._port = free_port()
        self._argv = [program, "--bind", "127.0.0.1", "--port", str(self._port)]
        self._argv += ["--dir", str(folder), "--save", "", "--appendonly", "no"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns once it takes connections."""
        self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL)
        end = time.monotonic() + _READY
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@dataclass(frozen=True, slots=True)
class Gateways:
    urls: Sequence[str]
    model: str
    redis: RedisServer


@contextmanager
def gateways(
    count: int, tenants: Sequence[Mapping[str, Any]], pool_tokens: int, step: float
) -> Iterator[Gateways]:
    """Once each of them has heard of every worker. `pool_tokens`: of each worker; `step`: seconds."""
    with TemporaryDirectory() as scratch:
        folder, file = Path(scratch) / "hash", Path(scratch) / "tenants.yaml"
        make_model("hash", folder, lambda _: None)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "step_seconds": step}))
        file.write_text(yaml.safe_dump({"tenants": [*tenants]}))
        rows = config["num_layers"] * 2 * config["num_kv_heads"] * config["head_dim"]
        redis = RedisServer(Path(scratch))
        redis.start()
        told = [f"--model={folder}", f"--redis-url={redis.url}", "--cluster-secret=benchmark"]
        size = f"--kv-cache-memory-bytes={pool_tokens * rows}"
        sizes = ["--threads=1", f"--block-size={BLOCK}", f"--max-num-batched-tokens={CHUNK}", size]
        ports = [free_port() for _ in range(count)]
        commands = [
            ["gateway", *told, f"--port={port}", f"--tenants-file={file}"] for port in ports
        ]
        commands += [
            [module, *told, *sizes, f"--worker-id={number}-{module}"]
            for number, module in enumerate(WORKERS)
        ]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        try:
            with subprocess_all(commands, {**os.environ, "OMP_NUM_THREADS": "1"}) as running:
                for url in urls:
                    until_members(url, len(WORKERS), running, key=tenants[0]["keys"][0])
                yield Gateways(urls, str(folder), redis)
        finally:
            redis.kill()
