"""A container of a rendered pod, started as a process: what a kubelet and an image do, done by hand."""

import asyncio
import base64
import os
import re
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

Objects = dict[tuple[str, str], dict[str, Any]]
_END = 30.0  # seconds


class Host:
    """Where the containers of a release are run. `replaced`: text of the render, such as a path or a name of
    the cluster's, and what stands for it here.
    """

    def __init__(self, found: Objects, scratch: Path, replaced: Mapping[str, str]) -> None:
        self._found = found
        self._scratch = scratch
        self._replaced = dict(replaced)

    def text(self, said: str) -> str:
        for there, here in self._replaced.items():
            said = said.replace(there, here)
        return said

    def environment(self, pod: str, container: dict[str, Any]) -> dict[str, str]:
        """Values in their order, so that $(NAME) finds what stands before it."""
        fields = {"metadata.name": pod, "status.podIP": "127.0.0.1"}
        made: dict[str, str] = {}
        for one in container.get("env", []):
            source = one.get("valueFrom", {})
            if "fieldRef" in source:
                value = fields[source["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in source:
                value = self._secret(**source["secretKeyRef"])
            else:
                value = self.text(expanded(one["value"], made))
            made[one["name"]] = value
        return made

    def words(self, container: dict[str, Any], environment: dict[str, str]) -> list[str]:
        said = [*container["command"], *container.get("args", [])]
        return [self.text(expanded(word, environment)) for word in said]

    def lay_files(self, pod: str, spec: dict[str, Any], container: dict[str, Any]) -> None:
        """Config maps at their mount paths; from then on these paths stand for folders of ours."""
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            config = volumes[mount["name"]].get("configMap")
            if config is not None:
                folder = self._scratch / pod
                folder.mkdir(exist_ok=True)
                for name, text in self._found["ConfigMap", config["name"]]["data"].items():
                    (folder / name).write_text(text)
                self._replaced[mount["mountPath"]] = str(folder)

    def _secret(self, name: str, key: str) -> str:
        data = self._found["Secret", name]["data"]
        return base64.b64decode(data[key]).decode()


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """$(NAME) as Kubernetes reads it: what is not known stays as it is."""
    return re.sub(r"\$\(([A-Za-z0-9_]+)\)", lambda m: environment.get(m[1], m[0]), text)


@asynccontextmanager
async def running(
    host: Host, pod: str, spec: dict[str, Any], container: dict[str, Any], programs: Path
) -> AsyncIterator["RunningContainer"]:
    """SIGTERM ends it, with exit code 0. `programs` is the image's PATH."""
    host.lay_files(pod, spec, container)
    environment = host.environment(pod, container)
    process = await asyncio.create_subprocess_exec(
        *host.words(container, environment),
        stdin=subprocess.DEVNULL,
        env={"PATH": f"{programs}:{os.environ['PATH']}", **environment},
    )
    try:
        yield RunningContainer(process, container, host)
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(_END):
                assert await process.wait() == 0, pod
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class RunningContainer:
    def __init__(
        self, process: asyncio.subprocess.Process, container: dict[str, Any], host: Host
    ) -> None:
        self.process = process
        self._container = container
        self._host = host

    async def until_probed(self, probe: str, seconds: float = 60) -> None:
        """Until the probe says yes, asked again and again, as a kubelet does."""
        async with asyncio.timeout(seconds):
            while await self.ask(probe) != 200:
                assert self.process.returncode is None, "it ended before it was ready"
                await asyncio.sleep(0.05)

    async def ask(self, probe: str) -> int:
        """The status; 0 where nobody listens."""
        asked = self._container[probe]["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in self._container["ports"]}
        place = self._host.text(f"127.0.0.1:{ports[asked['port']]}")
        url = f"{asked.get('scheme', 'HTTP').lower()}://{place}{asked['path']}"
        return await asyncio.to_thread(_status, url)

    async def until_exec_says_yes(self, probe: str, environment: dict[str, str]) -> None:
        """For a probe that is a command."""
        words = [self._host.text(word) for word in self._container[probe]["exec"]["command"]]
        path = {"PATH": os.environ["PATH"], **environment}
        async with asyncio.timeout(60):
            while (await asyncio.to_thread(subprocess.run, words, env=path)).returncode != 0:
                assert self.process.returncode is None, "it ended before it was ready"
                await asyncio.sleep(0.05)

    async def page(self, port: str, path: str) -> str:
        ports = {one["name"]: one["containerPort"] for one in self._container["ports"]}
        url = self._host.text(f"http://127.0.0.1:{ports[port]}{path}")
        return await asyncio.to_thread(
            lambda: urllib.request.urlopen(url, timeout=5).read().decode()
        )


def _status(url: str) -> int:
    context = ssl.create_default_context() if url.startswith("https") else None
    if context is not None:  # as a kubelet, which checks no certificate
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, ConnectionError):
        return 0


@contextmanager
def reserved_row(count: int) -> Iterator[int]:
    """The first of so many free ports in a row, which stay ours as those of `reserved_port` do."""
    for first in range(20000, 32000, count):  # below those that the system gives to whoever asks
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    holder = stack.enter_context(socket.socket())
                    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    holder.bind(("0.0.0.0", port))
            except OSError:
                continue
            yield first
            return
    raise AssertionError("there are no free ports")


def image_programs(folder: Path) -> Path:
    """A PATH in which `baton` is the program of this checkout."""
    folder.mkdir()
    program = folder / "baton"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m baton.cluster.entry "$@"\n')
    program.chmod(0o755)
    return folder
