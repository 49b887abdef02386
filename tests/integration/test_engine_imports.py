"""What a process with a hash model does not load."""

import subprocess
import sys
from pathlib import Path

from tests.support.engine_hash_model import write_hash_model


def test_building_a_hash_engine_does_not_import_torch(tmp_path: Path) -> None:
    write_hash_model(tmp_path)
    code = (
        "import sys\n"
        "from baton.engine.build import build_engine\n"
        "from baton.engine.config import EngineConfig\n"
        f"build_engine({str(tmp_path)!r}, EngineConfig(kv_cache_memory_bytes=1 << 20)).close()\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'numpy' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
