"""Helm 4 in a process of its own: it is written in Go, whose runtime takes over signals and is not to be forked.

One JSON request per line, one JSON answer per line.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RELEASE, NAMESPACE = "llm", "serving"

Values = dict[str, Any]


class ChartRefusedError(Exception):
    """Helm's sentence on why these values make no release."""


class Helm4:
    """Of one chart."""

    def __init__(self, chart: Path, process: "subprocess.Popen[str]") -> None:
        self._chart = chart
        self._process = process

    def render(self, values: Values) -> str:
        """All objects, as YAML documents in the order of their templates. Raises ChartRefusedError."""
        manifests: dict[str, str] = self._ask("render", values)
        parts = [
            f"---\n# Source: {path}\n{text.strip()}\n"
            for path, text in sorted(manifests.items())
            if text.strip() and not path.endswith("NOTES.txt")
        ]
        return "".join(parts)

    def notes(self, values: Values) -> str:
        manifests: dict[str, str] = self._ask("render", values)
        return next(text for path, text in manifests.items() if path.endswith("NOTES.txt"))

    def lint(self, values: Values) -> list[str]:
        """Findings that are warnings or errors."""
        report = self._ask("lint", values)
        found = [f"{m['path']}: {m['error']}" for m in report["messages"] if m["severity"] >= 2]
        return [*found, *report["errors"]]

    def _ask(self, what: str, values: Values) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, str(self._chart), values]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "refused" in answer:
            raise ChartRefusedError(answer["refused"])
        return answer["result"]


@contextmanager
def helm4(chart: Path) -> Iterator[Helm4]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it tells of each symbolic link
        text=True,
    )
    with process:
        yield Helm4(chart, process)
        assert process.stdin is not None
        process.stdin.close()


def _serve() -> None:
    import helm_python
    from helm_python import chart as charts

    for line in sys.stdin:
        what, folder, values = json.loads(line)
        try:
            if what == "lint":
                result: Any = charts.lint(folder, values, kube_version="v1.32.0")
            else:
                with helm_python.Chart.load(folder) as chart:
                    result = chart.render(values, name=RELEASE, namespace=NAMESPACE)
            answer = {"result": result}
        except helm_python.HelmError as error:
            answer = {"refused": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
