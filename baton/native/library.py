"""A native library: compiled at its first use, kept in the user's cache, loaded only if it is whole."""

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

_TIMEOUT = 300.0  # seconds for the compiler
_DIGEST = hashlib.sha256().digest_size  # bytes at the end of a library, of all before


class NativeError(Exception):
    """There is no such library; says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a library is compiled from. `folder` holds `main` and what it includes."""

    name: str  # as it is told: "the CPU kernels"
    folder: Path
    main: str
    flags: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of all that the library's behaviour hangs on, but for the compiler."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.is_file():
                digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        digest.update("\0".join((platform.machine(), *self.flags)).encode())
        return digest.hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where libraries are made and kept. `compiler` is a command, empty where there is none."""

    cache: Path
    compiler: tuple[str, ...]


def default_workshop(environ: Mapping[str, str]) -> Workshop:
    """The user's cache; `CXX` or g++."""
    words = shlex.split(environ.get("CXX", "")) or ["g++"]
    program = shutil.which(words[0], path=environ.get("PATH", ""))
    root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Workshop(Path(root) / "baton" / "kernels", (program, *words[1:]) if program else ())


def load(source: Source, workshop: Workshop, say: Callable[[str], None]) -> ctypes.CDLL:
    """Builds it where no sound one is kept; `say` is told before. Raises NativeError."""
    path = build(source, workshop, say)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeError(str(error)) from error


def build(source: Source, workshop: Workshop, say: Callable[[str], None]) -> Path:
    """The library's file, built where there is none. Raises NativeError."""
    try:
        workshop.cache.mkdir(mode=0o755, parents=True, exist_ok=True)
        _check_trust(workshop.cache)
        return _kept(source, workshop) or _build_once(source, workshop, say)
    except OSError as error:
        raise NativeError(str(error)) from error


def _check_trust(cache: Path) -> None:
    """What lies there is run: only we and root may have put it there."""
    status = cache.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
        raise NativeError(
            f"others may write into {cache}, and what lies there is run: give it to this user "
            "alone, or name another cache with XDG_CACHE_HOME"
        )


def _kept(source: Source, workshop: Workshop) -> Path | None:
    """Without a compiler any library will do that one made of these sources."""
    if workshop.compiler:
        candidates = [_path(source, workshop)]
    else:
        candidates = sorted(workshop.cache.glob(f"{source.digest}-*.so"))
    return next((path for path in candidates if _is_whole(path)), None)


def _path(source: Source, workshop: Workshop) -> Path:
    compiler = workshop.compiler
    try:
        version = subprocess.run(
            [*compiler, "--version"], capture_output=True, check=True, timeout=_TIMEOUT
        ).stdout
    except subprocess.SubprocessError as error:
        raise NativeError(f"{compiler[0]} does not say its version: {error}") from error
    name = hashlib.sha256(b"\0".join((*map(os.fsencode, compiler), version))).hexdigest()
    return workshop.cache / f"{source.digest}-{name[:12]}.so"


def _is_whole(path: Path) -> bool:
    """A file that was cut short would not fail to load: it would kill the process."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    return hashlib.sha256(data[:-_DIGEST]).digest() == data[-_DIGEST:]


def _build_once(source: Source, workshop: Workshop, say: Callable[[str], None]) -> Path:
    if not workshop.compiler:
        raise NativeError("there is no C++ compiler: install g++, or name one with CXX")
    path = _path(source, workshop)
    with _alone(path.with_suffix(".lock")):
        if not _is_whole(path):  # nobody has built it while we waited
            say(f"building {source.name}, once (a few seconds)")
            with tempfile.TemporaryDirectory(dir=workshop.cache) as scratch:
                draft = Path(scratch) / "library.so"
                _compile(source, workshop.compiler, draft)
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


def _compile(source: Source, compiler: tuple[str, ...], out: Path) -> None:
    command = [*compiler, str(source.folder / source.main), *source.flags, "-o", str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise NativeError(f"{compiler[0]} took longer than {_TIMEOUT:g} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        told = next((line for line in lines if "error" in line), lines[-1] if lines else "")
        raise NativeError(f"{compiler[0]} failed: {told or done.returncode}")
