"""Nobody outlives a Ray of our own."""

import subprocess
import sys
from pathlib import Path

from baton.cluster.ray.reaper import folder_of_ray, holders
from tests.support.fake_processes import is_gone

_HOLDING = (
    "import sys, signal; file = open(sys.argv[1], 'w'); print('open', flush=True); signal.pause()"
)


def test_who_has_a_file_of_the_folder_open_ends_with_it_and_nobody_else() -> None:
    with folder_of_ray() as folder, open(f"{folder}/ours", "w"):
        inside = subprocess.Popen(
            [sys.executable, "-c", _HOLDING, f"{folder}/log"], stdout=subprocess.PIPE
        )
        assert inside.stdout is not None
        inside.stdout.readline()
        assert inside.pid in holders(Path(folder))
        other = Path(folder).with_name(f"{Path(folder).name}x")
        assert holders(other) == []
    with inside:
        assert is_gone(inside.pid)
    assert not Path(folder).exists()
