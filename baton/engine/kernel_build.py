"""The C++ kernels: compiled at their first use, kept in the user's cache. Knows no torch.

They are linked against no OpenMP of their own: whoever loads them has torch loaded before, whose
threads they use. Two runtimes in one process would fight over the cores.
"""

import ctypes
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from baton.engine.host_cores import cpu_flags

SOURCES = Path(__file__).parent / "csrc"
MAIN = "paged_attention.cpp"

_FLAGS = (
    *("-O3", "-std=gnu++17", "-ffp-contract=fast", "-fopenmp", "-fPIC", "-shared"),
    *("-nodefaultlibs", "-lstdc++", "-lm", "-lgcc_s", "-lgcc", "-lc"),
)
# Name of a level of instructions -> what /proc/cpuinfo calls those that it needs. Best first.
LEVELS: Mapping[str, tuple[str, ...]] = {
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "f16c"),
    "avx2": ("avx2", "fma", "f16c"),
    "portable": (),
}
_TIMEOUT = 300.0  # seconds for the compiler
_DIGEST = hashlib.sha256().digest_size  # bytes at the end of a library, of all before


class KernelError(Exception):
    """There are no kernels; says why."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a library is made of. `compiler` is a command, empty where there is none."""

    cache: Path
    level: str
    compiler: tuple[str, ...]

    @property
    def content(self) -> str:
        """A digest of all that the library's behaviour hangs on, but for the compiler."""
        digest = hashlib.sha256()
        for path in sorted(SOURCES.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        digest.update("\0".join((platform.machine(), *_FLAGS, *self.flags)).encode())
        return digest.hexdigest()[:20]

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(f"-m{name}" for name in LEVELS[self.level])


def default_recipe(environ: Mapping[str, str]) -> Recipe:
    """For this machine: the best level, the user's cache, `CXX` or g++."""
    words = shlex.split(environ.get("CXX", "")) or ["g++"]
    program = shutil.which(words[0], path=environ.get("PATH", ""))
    root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Recipe(
        Path(root) / "baton" / "kernels",
        best_level(cpu_flags()),
        (program, *words[1:]) if program else (),
    )


def best_level(cpu_flags: frozenset[str]) -> str:
    return next(name for name, needed in LEVELS.items() if cpu_flags.issuperset(needed))


def load_kernels(recipe: Recipe, say: Callable[[str], None]) -> ctypes.CDLL:
    """Builds them where no sound library is kept; `say` is told before. Raises KernelError."""
    path = build_kernels(recipe, say)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelError(str(error)) from error


def build_kernels(recipe: Recipe, say: Callable[[str], None]) -> Path:
    """The library's file, built where there is none. Raises KernelError."""
    try:
        recipe.cache.mkdir(mode=0o755, parents=True, exist_ok=True)
        _check_trust(recipe.cache)
        return _kept(recipe) or _build_once(recipe, say)
    except OSError as error:
        raise KernelError(str(error)) from error


def _check_trust(cache: Path) -> None:
    """What lies there is run: only we and root may have put it there."""
    status = cache.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
        raise KernelError(
            f"others may write into {cache}, and what lies there is run: give it to this user "
            "alone, or name another cache with XDG_CACHE_HOME"
        )


def _kept(recipe: Recipe) -> Path | None:
    """Without a compiler any library will do that one made of these sources."""
    if recipe.compiler:
        candidates = [_path(recipe)]
    else:
        candidates = sorted(recipe.cache.glob(f"{recipe.content}-*.so"))
    return next((path for path in candidates if _is_whole(path)), None)


def _path(recipe: Recipe) -> Path:
    try:
        version = subprocess.run(
            [*recipe.compiler, "--version"], capture_output=True, check=True, timeout=_TIMEOUT
        ).stdout
    except subprocess.SubprocessError as error:
        raise KernelError(f"{recipe.compiler[0]} does not say its version: {error}") from error
    name = hashlib.sha256(b"\0".join((*map(os.fsencode, recipe.compiler), version))).hexdigest()
    return recipe.cache / f"{recipe.content}-{name[:12]}.so"


def _is_whole(path: Path) -> bool:
    """A file that was cut short would not fail to load: it would kill the process."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    return hashlib.sha256(data[:-_DIGEST]).digest() == data[-_DIGEST:]


def _build_once(recipe: Recipe, say: Callable[[str], None]) -> Path:
    if not recipe.compiler:
        raise KernelError("there is no C++ compiler: install g++, or name one with CXX")
    path = _path(recipe)
    with _alone(path.with_suffix(".lock")):
        if not _is_whole(path):  # nobody has built it while we waited
            say("building the CPU kernels, once (a few seconds)")
            with tempfile.TemporaryDirectory(dir=recipe.cache) as scratch:
                draft = Path(scratch) / "kernels.so"
                _compile(recipe, draft)
                data = draft.read_bytes()
                draft.write_bytes(data + hashlib.sha256(data).digest())
                draft.rename(path)
    return path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Among the processes of all users of the cache; a dead one's lock is gone with it."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(recipe: Recipe, out: Path) -> None:
    source = str(SOURCES / MAIN)
    command = [*recipe.compiler, source, *recipe.flags, *_FLAGS, "-o", str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"{recipe.compiler[0]} took longer than {_TIMEOUT:g} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        told = next((line for line in lines if "error" in line), lines[-1] if lines else "")
        raise KernelError(f"{recipe.compiler[0]} failed: {told or done.returncode}")
