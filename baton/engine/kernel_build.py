"""The C++ kernels of the engine: what they are made of, and for which instructions. Knows no torch.

They are linked against no OpenMP of their own: whoever loads them has torch loaded before, whose
threads they use. Two runtimes in one process would fight over the cores.
"""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from baton.engine.host_cores import cpu_flags
from baton.native.library import NativeError, Source, Workshop, build, default_workshop, load

SOURCES = Path(__file__).parent / "csrc"
MAIN = "kernels.cpp"

_FLAGS = (
    *("-O3", "-std=gnu++17", "-ffp-contract=fast", "-fopenmp", "-fPIC", "-shared"),
    *("-nodefaultlibs", "-lstdc++", "-lm", "-lgcc_s", "-lgcc", "-lc"),
)
# Name of a level of instructions -> what /proc/cpuinfo calls those that it needs. Best first.
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "f16c")
LEVELS: Mapping[str, tuple[str, ...]] = {
    "avx512_bf16": (*_AVX512, "avx512_bf16"),
    "avx512": _AVX512,
    "avx2": ("avx2", "fma", "f16c"),
    "portable": (),
}

KernelError = NativeError  # there are no kernels; says why


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a library is made of. `compiler` is a command, empty where there is none."""

    cache: Path
    level: str
    compiler: tuple[str, ...]

    @property
    def content(self) -> str:
        """A digest of all that the library's behaviour hangs on, but for the compiler."""
        return self.source.digest

    @property
    def source(self) -> Source:
        flags = (f"-m{name.replace('_', '')}" for name in LEVELS[self.level])
        return Source("the CPU kernels", SOURCES, MAIN, (*flags, *_FLAGS))

    @property
    def workshop(self) -> Workshop:
        return Workshop(self.cache, self.compiler)


def default_recipe(environ: Mapping[str, str]) -> Recipe:
    """For this machine: the best level, the user's cache, `CXX` or g++."""
    workshop = default_workshop(environ)
    return Recipe(workshop.cache, best_level(cpu_flags()), workshop.compiler)


def best_level(cpu_flags: frozenset[str]) -> str:
    return next(name for name, needed in LEVELS.items() if cpu_flags.issuperset(needed))


def load_kernels(recipe: Recipe, say: Callable[[str], None]) -> ctypes.CDLL:
    """Builds them where no sound library is kept; `say` is told before. Raises KernelError."""
    return load(recipe.source, recipe.workshop, say)


def build_kernels(recipe: Recipe, say: Callable[[str], None]) -> Path:
    """The library's file, built where there is none. Raises KernelError."""
    return build(recipe.source, recipe.workshop, say)
