"""Whether torch can compile the network here: it needs a C++ compiler and Python's headers."""

import shutil
import sysconfig
from pathlib import Path


def can_compile() -> bool:
    include = Path(sysconfig.get_path("include"))
    return bool(shutil.which("g++")) and (include / "Python.h").is_file()
