"""The kernels are built once, whoever comes at the same moment; a bad file is built anew."""

import ctypes
import logging
import os
import platform
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE

import pytest
from click.testing import CliRunner

from baton.cluster.cli import main
from baton.core.errors import SettingsError
from baton.engine import kernel_build
from baton.engine.attention.choice import choose_attention
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.kernel_build import (
    LEVELS,
    KernelError,
    Recipe,
    best_level,
    build_kernels,
    default_recipe,
    load_kernels,
    recipes_of_all_levels,
)
from tests.support.kernels import recipe as recipe_of


class Said(list[str]):
    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """The cheapest level, in a cache of its own."""
    return replace(recipe_of("portable"), cache=tmp_path / "kernels")


@pytest.fixture
def trivial(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Sources that take no time to compile."""
    sources = tmp_path / "csrc"
    sources.mkdir()
    (sources / kernel_build.MAIN).write_text('extern "C" int baton_answer() { return 42; }\n')
    monkeypatch.setattr(kernel_build, "SOURCES", sources)
    return recipe


def answer(library: ctypes.CDLL) -> int:
    return int(library.baton_answer())


def libraries(recipe: Recipe) -> list[Path]:
    return list(recipe.cache.glob("*.so"))


def test_a_second_start_builds_nothing(trivial: Recipe) -> None:
    first, second = Said(), Said()

    assert answer(load_kernels(trivial, first)) == 42
    assert answer(load_kernels(trivial, second)) == 42

    assert ["building the CPU kernels" in line for line in first] == [True]
    assert second == []
    assert {path.suffix for path in trivial.cache.iterdir()} == {".so", ".lock"}


def test_processes_that_start_side_by_side_build_once(trivial: Recipe) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from baton.engine import kernel_build as kb\n"
        "cache, compiler, sources = sys.argv[1:]\n"
        "kb.SOURCES = Path(sources)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
        "kb.build_kernels(kb.Recipe(Path(cache), 'portable', (compiler,)), print)\n"
    )
    paths = [trivial.cache, trivial.compiler[0], kernel_build.SOURCES]
    words = [sys.executable, "-c", program, *map(str, paths)]
    with ExitStack() as stack:
        children = [
            stack.enter_context(subprocess.Popen(words, stdin=PIPE, stdout=PIPE, text=True))
            for _ in range(3)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.close()
        said = [child.stdout.read() for child in children if child.stdout is not None]

    assert [child.returncode for child in children] == [0, 0, 0]
    assert sum("building" in words for words in said) == 1
    assert len(libraries(trivial)) == 1


@pytest.mark.parametrize("damage", ["cut short", "empty", "one byte", "another's"])
def test_a_bad_file_in_the_cache_is_built_anew(trivial: Recipe, damage: str) -> None:
    path = build_kernels(trivial, Said())
    data = path.read_bytes()
    flipped = bytes([data[4000] ^ 1])
    changed = {
        "cut short": data[: len(data) // 2],
        "empty": b"",
        "one byte": data[:4000] + flipped + data[4001:],
        "another's": b"#!/bin/sh\n",
    }[damage]
    path.unlink()
    path.write_bytes(changed)
    said = Said()

    assert answer(load_kernels(trivial, said)) == 42
    assert len(said) == 1


def test_other_sources_flags_or_compilers_are_other_libraries(
    trivial: Recipe, tmp_path: Path
) -> None:
    wrapper = tmp_path / "other-g++"
    wrapper.write_text(f'#!/bin/sh\nexec {trivial.compiler[0]} "$@"\n')
    wrapper.chmod(0o755)
    first = build_kernels(trivial, Said())
    (kernel_build.SOURCES / "more.h").write_text("// a header\n")
    second = build_kernels(trivial, Said())
    third = build_kernels(replace(trivial, compiler=(str(wrapper),)), Said())

    assert len({first, second, third}) == 3
    assert trivial.content != replace(trivial, level="avx2").content


def test_without_a_compiler_a_library_that_is_there_will_do(trivial: Recipe) -> None:
    nobody = replace(trivial, compiler=())
    with pytest.raises(KernelError, match=r"no C\+\+ compiler: install g\+\+"):
        load_kernels(nobody, Said())
    build_kernels(trivial, Said())

    assert answer(load_kernels(nobody, Said())) == 42


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(trivial: Recipe) -> None:
    (kernel_build.SOURCES / kernel_build.MAIN).write_text("int main( { nonsense\n")

    with pytest.raises(KernelError, match=r"failed: .*kernels\.cpp.*error"):
        load_kernels(trivial, Said())

    assert {path.suffix for path in trivial.cache.iterdir()} == {".lock"}


def test_a_compiler_that_is_none_is_named(trivial: Recipe) -> None:
    with pytest.raises(KernelError, match="false"):
        load_kernels(replace(trivial, compiler=("/bin/false",)), Said())


def test_a_cache_that_cannot_be_written_is_an_error_with_its_name(
    trivial: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(KernelError, match="file"):
        load_kernels(replace(trivial, cache=tmp_path / "file" / "kernels"), Said())


def test_a_library_that_anybody_may_have_put_there_is_not_run(trivial: Recipe) -> None:
    load_kernels(trivial, Said())
    trivial.cache.chmod(0o1777)

    with pytest.raises(KernelError, match=r"others may write into .*kernels"):
        load_kernels(trivial, Said())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_library_in_the_folder_of_somebody_else_is_not_run(trivial: Recipe) -> None:
    load_kernels(trivial, Said())
    os.chown(trivial.cache, 4321, 4321)

    with pytest.raises(KernelError, match="others may write"):
        load_kernels(trivial, Said())


def test_the_command_builds_ahead_and_says_why_it_cannot(
    trivial: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = CliRunner().invoke(main, ["build-kernels"])
    assert done.exit_code == 0
    assert str(tmp_path / "baton" / "kernels") in done.output

    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    refused = CliRunner().invoke(main, ["build-kernels"])
    assert refused.exit_code == os.EX_CONFIG
    assert "install g++" in refused.output


def test_an_image_gets_one_recipe_for_each_level_of_its_architecture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert [recipe.level for recipe in recipes_of_all_levels(os.environ)] == list(LEVELS)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert [recipe.level for recipe in recipes_of_all_levels(os.environ)] == ["portable"]


def test_the_recipe_comes_from_the_environment(tmp_path: Path) -> None:
    here = {"XDG_CACHE_HOME": str(tmp_path), "PATH": os.environ["PATH"], "CXX": "sh -x"}

    made = default_recipe(here)

    assert made.cache == tmp_path / "baton" / "kernels"
    assert Path(made.compiler[0]).name == "sh"
    assert made.compiler[1:] == ("-x",)
    assert default_recipe({**here, "PATH": ""}).compiler == ()


def test_the_level_is_the_best_that_the_cpu_has_all_of() -> None:
    avx2 = frozenset({"avx2", "fma", "f16c", "sse2"})
    avx512 = avx2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}

    assert best_level(avx512) == "avx512"
    assert best_level(avx512 - {"avx512dq"}) == "avx2"
    assert best_level(avx2 - {"fma"}) == "portable"
    assert best_level(frozenset()) == "portable"


def test_without_a_compiler_auto_goes_on_in_torch_and_cpu_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    with caplog.at_level(logging.WARNING, "baton"):
        assert choose_attention("auto", bare) is TorchReference
    assert [record.getMessage() for record in caplog.records] == [
        "attention goes on in plain torch, which is slower: there is no C++ compiler: install g++, "
        "or name one with CXX"
    ]
    assert choose_attention("torch", bare) is TorchReference
    with pytest.raises(SettingsError, match=r"--attention-backend cpu is not possible: .*g\+\+"):
        choose_attention("cpu", bare)
    with pytest.raises(SettingsError, match="--attention-backend 'fast'"):
        choose_attention("fast", bare)
    with pytest.raises(SettingsError, match=r"triton is not possible: .* CUDA device"):
        choose_attention("triton", bare)
