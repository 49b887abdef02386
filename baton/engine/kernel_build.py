"""The C++ kernels of the engine: what they are made of, and for which instructions. Knows no torch.

They are linked against no OpenMP of their own: whoever loads them has torch loaded before, whose
threads they use. Two runtimes in one process would fight over the cores.
"""

import ctypes
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from baton.engine.machine.host_cores import cpu_flags
from baton.native.library import NativeError, Source, Workshop, build, default_workshop, load

SOURCES = Path(__file__).parent / "csrc"
MAIN = "kernels.cpp"

_FLAGS = (
    *("-O3", "-std=gnu++17", "-ffp-contract=fast", "-fopenmp", "-fPIC", "-shared"),
    *("-nodefaultlibs", "-lstdc++", "-lm", "-lgcc_s", "-lgcc", "-lc"),
)
_AVX2 = ("avx2", "fma", "f16c")
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", *_AVX2)
_AVX512_BF16 = ("avx512_bf16", "avx512_vnni", *_AVX512)
_TILES = ("amx_tile", "amx_bf16")
# Name of a level of instructions -> what /proc/cpuinfo calls those that it needs. Best first.
LEVELS: Mapping[str, tuple[str, ...]] = {
    "amx": (*_TILES, *_AVX512_BF16),
    "avx512_bf16": _AVX512_BF16,
    "avx512": _AVX512,
    "avx2": _AVX2,
    "portable": (),
}
# Where a compiler calls them something else.
_SPELLINGS = {
    "avx512_bf16": "avx512bf16",
    "avx512_vnni": "avx512vnni",
    "amx_tile": "amx-tile",
    "amx_bf16": "amx-bf16",
}
# The system call arch_prctl of x86-64, and what it is asked: leave to use the tiles' registers.
_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18

KernelError = NativeError  # there are no kernels; says why


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a library is made of. `compiler` is a command, empty where there is none."""

    cache: Path
    level: str
    compiler: tuple[str, ...]
    options: tuple[str, ...] = ()  # more that the compiler is told

    @property
    def content(self) -> str:
        """A digest of all that the library's behaviour hangs on, but for the compiler."""
        return self.source.digest

    @property
    def source(self) -> Source:
        flags = (f"-m{_SPELLINGS.get(name, name)}" for name in LEVELS[self.level])
        return Source("the CPU kernels", SOURCES, MAIN, (*flags, *self.options, *_FLAGS))

    @property
    def workshop(self) -> Workshop:
        return Workshop(self.cache, self.compiler)


def default_recipe(environ: Mapping[str, str]) -> Recipe:
    """For this machine: the best level, the user's cache, `CXX` or g++."""
    workshop = default_workshop(environ)
    flags = cpu_flags()
    if flags.issuperset(_TILES) and not tiles_are_lent():
        flags = flags.difference(_TILES)
    return Recipe(workshop.cache, best_level(flags), workshop.compiler)


def recipes_of_all_levels(environ: Mapping[str, str]) -> list[Recipe]:
    """For whatever machine of this architecture: an image does not know where it will run."""
    known = LEVELS if platform.machine() == "x86_64" else {"portable": ()}
    own = default_recipe(environ)
    return [replace(own, level=level) for level in known]


def tiles_are_lent() -> bool:
    """Linux wants to be asked before a process uses the matrix unit (AMX), and kills it otherwise.

    Some sandboxes say no. The answer holds for this process, its threads and its children.
    """
    request = ctypes.CDLL(None).syscall
    return bool(request(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0)


def best_level(cpu_flags: frozenset[str]) -> str:
    return next(name for name, needed in LEVELS.items() if cpu_flags.issuperset(needed))


def load_kernels(recipe: Recipe, say: Callable[[str], None]) -> ctypes.CDLL:
    """Builds them where no sound library is kept; `say` is told before. Raises KernelError."""
    return load(recipe.source, recipe.workshop, say)


def build_kernels(recipe: Recipe, say: Callable[[str], None]) -> Path:
    """The library's file, built where there is none. Raises KernelError."""
    return build(recipe.source, recipe.workshop, say)
