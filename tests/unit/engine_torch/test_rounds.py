"""What threads of a step share: nobody waits for a thread that is away, and nobody writes twice."""

import subprocess
from pathlib import Path

from baton.engine.kernel_build import SOURCES
from tests.support.programs import needed

PROBE = Path(__file__).parents[2] / "support" / "rounds_probe.cpp"
PATIENCE = 60.0  # seconds


def test_a_thread_that_is_away_holds_nobody_up_and_spoils_nothing(tmp_path: Path) -> None:
    compiler, program = needed("g++", "g++"), tmp_path / "probe"
    flags = ("-O2", "-std=gnu++17", "-fopenmp", f"-I{SOURCES}")
    subprocess.run([compiler, *flags, str(PROBE), "-o", str(program)], check=True, timeout=PATIENCE)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=PATIENCE)
    away, said = done.stdout.splitlines()
    assert said == "right"
    assert int(away.removeprefix("away ")) >= 290
