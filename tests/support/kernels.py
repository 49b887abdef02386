"""The C++ kernels for tests, kept in the user's cache as everybody's are."""

import ctypes
import os
from dataclasses import replace

import pytest

from baton.engine.kernel_build import LEVELS, Recipe, default_recipe, load_kernels
from baton.engine.machine.host_cores import cpu_flags
from tests.support.programs import needed

# The levels of instructions, and the matrix unit's path with the unit written out in software.
KINDS = (*LEVELS, "tiles")


def recipe(level: str) -> Recipe:
    """Skips the test where there is no compiler or where this CPU has no such instructions."""
    needed("g++", "g++")
    if not cpu_flags().issuperset(LEVELS[level]):
        pytest.skip(f"this CPU does not know {level}")
    return replace(default_recipe(os.environ), level=level)


def kernels(kind: str) -> ctypes.CDLL:
    """One of `KINDS`."""
    if kind == "tiles":
        fake = replace(recipe("portable"), options=("-DBATON_TILES_IN_SOFTWARE",))
        return load_kernels(fake, lambda line: None)
    return load_kernels(recipe(kind), lambda line: None)
