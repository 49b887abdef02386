"""The safetensors files of a model's folder: which they are and how much they hold. Standard library only."""

import json
import math
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from baton.core.errors import SettingsError
from baton.core.layout import DTYPE_BYTES

INDEX = "model.safetensors.index.json"
_STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_MAX_HEADER = 100 << 20  # bytes, as the format allows


def weight_files(folder: Path) -> list[Path]:
    """The one file, or the shards that the index names; raises SettingsError when one is missing."""
    index = folder / INDEX
    names = {"model.safetensors"}
    if index.is_file():
        shards = read_json(index).get("weight_map")
        names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing or not names:
        raise SettingsError(f"{folder} lacks its weights: {', '.join(missing) or index.name}")
    return [folder / name for name in sorted(names)]


def weight_bytes(folder: Path, dtype: str) -> int:
    """What the weights take in memory as `dtype`; "auto" is what config.json says, else as stored."""
    wanted = DTYPE_BYTES.get(dtype_name(folder, dtype))
    total = 0
    for path in weight_files(folder):
        for elements, size, floating in _tensors(path):
            total += elements * wanted if wanted and floating else size
    return total


def dtype_name(folder: Path, dtype: str) -> str:
    """`dtype`, or what config.json says where that is "auto"; "None" where it does not."""
    if dtype != "auto":
        return dtype
    config = read_json(folder / "config.json")
    return str(config.get("dtype") or config.get("torch_dtype"))


def tensor_shapes(folder: Path) -> list[list[int]]:
    headers = map(_header, weight_files(folder))
    return [entry["shape"] for header in headers for entry in header.values() if "shape" in entry]


def read_json(path: Path) -> dict[str, Any]:
    """Raises SettingsError where the file is not a JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise SettingsError(f"{path} does not hold a JSON object")
    return value


def _tensors(path: Path) -> Iterator[tuple[int, int, bool]]:
    """Elements, stored bytes and whether it is floating, of each tensor that the header names."""
    for name, entry in _header(path).items():
        if name == "__metadata__":
            continue
        try:
            start, end = entry["data_offsets"]
            elements = math.prod(map(operator.index, entry["shape"]))
            yield elements, end - start, entry["dtype"] in _STORED
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(f"{path} is not a safetensors file: {name} {error}") from error


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(path.stat().st_size, _MAX_HEADER):
            raise SettingsError(f"{path} is not a complete safetensors file")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise SettingsError(f"{path} is not a complete safetensors file") from error
    if not isinstance(header, dict):
        raise SettingsError(f"{path} is not a safetensors file")
    return header
