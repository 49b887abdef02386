"""How much memory there is, how much a model takes, and what is said when it is too little."""

import json
import struct
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from baton.engine import packing
from baton.engine.loading.memory_check import ALLOWANCE, check_memory
from baton.engine.machine.host_memory import available_memory
from baton.model_source.weight_files import INDEX, weight_bytes, weight_files
from tests.support.programs import needed

GIB = 1 << 30


def write_shard(path: Path, tensors: dict[str, tuple[str, list[int], int]]) -> None:
    """Only the header is right: dtype, shape and bytes of each tensor; no data follows."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two shards, 3000 bfloat16 numbers and 10 int64."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_shard(folder / "a.safetensors", {"x": ("BF16", [10, 100], 2000)})
    write_shard(folder / "b.safetensors", {"y": ("BF16", [2000], 4000), "z": ("I64", [10], 80)})
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "b.safetensors"}}
    (folder / INDEX).write_text(json.dumps(index))
    (folder / "config.json").write_text('{"dtype": "bfloat16"}')
    return folder


@pytest.mark.parametrize(
    ("dtype", "expected"), [("auto", 6080), ("float16", 6080), ("float32", 12080)]
)
def test_weights_are_counted_from_the_headers_in_the_dtype_they_will_have(
    model: Path, dtype: str, expected: int
) -> None:
    assert weight_bytes(model, dtype) == expected


def test_without_a_word_in_the_config_weights_stay_as_they_are_stored(model: Path) -> None:
    (model / "config.json").write_text("{}")
    assert weight_bytes(model, "auto") == 6080


def test_a_shard_that_the_index_names_must_be_there(model: Path) -> None:
    (model / "b.safetensors").unlink()
    with pytest.raises(SettingsError, match=r"lacks its weights: b\.safetensors"):
        weight_files(model)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, struct.pack("<Q", 2) + b"[]", b"\0" * 8])
def test_a_file_that_is_no_safetensors_is_named(model: Path, content: bytes) -> None:
    (model / "a.safetensors").write_bytes(content)
    with pytest.raises(SettingsError, match=r"a\.safetensors is not a"):
        weight_bytes(model, "auto")


def test_a_shape_that_is_none_is_named(model: Path) -> None:
    header = b'{"t": {"dtype": "F32", "shape": ["a"], "data_offsets": [0, 4]}}'
    (model / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(SettingsError, match=r"a\.safetensors is not a safetensors file: t "):
        weight_bytes(model, "float32")


@pytest.mark.parametrize(("flags", "more"), [({"avx512_vnni"}, 4 << 23), (set(), 0)])
def test_a_large_output_layer_counts_its_screen_where_it_gets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: set[str], more: int
) -> None:
    needed("g++", "g++")
    monkeypatch.setattr(packing, "cpu_flags", lambda: frozenset(flags))
    shapes = {"e": [4, 1 << 23], "o": [4, 1 << 22], "w": [8, 1 << 23]}
    tensors = {name: ("BF16", [a, b], 2 * a * b) for name, (a, b) in shapes.items()}
    write_shard(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text('{"dtype": "bfloat16", "vocab_size": 4}')
    plain = check_memory(tmp_path, "auto", GIB, available=9 * GIB)

    assert check_memory(tmp_path, "auto", GIB, available=9 * GIB, screened=True) == plain + more


def test_what_fits_exactly_may_start(model: Path) -> None:
    each = 6080 + GIB + ALLOWANCE
    check_memory(model, "auto", GIB, available=2 * each, num_workers=2)
    with pytest.raises(SettingsError, match=r"2 workers need .* each; .*start fewer workers"):
        check_memory(model, "auto", GIB, available=2 * each - 1, num_workers=2)


def test_too_little_memory_is_a_sentence_with_figures_and_remedies(model: Path) -> None:
    with pytest.raises(
        SettingsError,
        match=r"needs about 4\.6\d GiB .* 2\.00 GiB are available: 0\.00 GiB for the weights, "
        r"4\.00 GiB for .*lower --kv-cache-memory-bytes, take --dtype bfloat16 or",
    ):
        check_memory(model, "float32", 4 * GIB, available=2 * GIB)


def test_host_memory_for_kv_blocks_is_counted_and_named(model: Path) -> None:
    each = 6080 + 3 * GIB + ALLOWANCE
    check_memory(model, "auto", GIB, each, kv_offloading_bytes=2 * GIB)
    with pytest.raises(
        SettingsError,
        match=r"2\.00 GiB for what it gives up \(--kv-offloading-size\).*"
        r"lower --kv-cache-memory-bytes or --kv-offloading-size or",
    ):
        check_memory(model, "auto", GIB, each - 1, kv_offloading_bytes=2 * GIB)


def write_machine(root: Path, groups: dict[str, dict[str, str]], own: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 1000 kB\n")
    (root / "proc/self/cgroup").write_text(own)
    for path, files in groups.items():
        (root / "sys/fs/cgroup" / path).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (root / "sys/fs/cgroup" / path / name).write_text(text + "\n")
    return root


def test_without_limits_the_machine_decides(tmp_path: Path) -> None:
    groups = {"a": {"memory.max": "max", "memory.current": "5"}}
    assert available_memory(write_machine(tmp_path, groups, "0::/a\n")) == 1000 * 1024


def test_the_tightest_group_around_us_decides_and_cached_files_do_not_count(tmp_path: Path) -> None:
    groups = {
        "a": {
            "memory.max": "900000",
            "memory.current": "500000",
            "memory.stat": "anon 1\nactive_file 30000\ninactive_file 20000",
        },
        "a/b": {"memory.max": "800000", "memory.current": "100000"},
    }
    assert available_memory(write_machine(tmp_path, groups, "0::/a/b\n")) == 450_000


def test_a_group_shown_at_the_top_counts_though_its_path_is_from_outside(tmp_path: Path) -> None:
    groups = {"": {"memory.max": "700000", "memory.current": "100000"}}
    assert available_memory(write_machine(tmp_path, groups, "0::/pod/box\n")) == 600_000


def test_older_groups_have_other_names(tmp_path: Path) -> None:
    groups = {
        "memory/x": {
            "memory.limit_in_bytes": "500000",
            "memory.usage_in_bytes": "400000",
            "memory.stat": "total_inactive_file 50000",
        }
    }
    own = "5:cpu,cpuacct:/x\n4:memory:/x\n"
    assert available_memory(write_machine(tmp_path, groups, own)) == 150_000


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    groups = {"": {"memory.max": "10", "memory.current": "20"}}
    assert available_memory(write_machine(tmp_path, groups, "0::/\n")) == 0


def test_this_machine_has_some() -> None:
    assert available_memory() > 0
