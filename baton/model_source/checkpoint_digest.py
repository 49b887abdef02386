"""Digests of a model folder: equal where two workers may exchange KV caches. Standard library only."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from baton.core.errors import SettingsError
from baton.model_source.weight_files import read_json, weight_files

SAMPLE_BYTES = 4096
MAX_SAMPLES = 1024  # per file: gigabytes take milliseconds, and other weights still show
HASH_MODEL = "baton_hash"  # model_type of the stand-in that has no weights
VOLATILE = frozenset({"transformers_version"})  # who wrote the file, not what it says


def digest_of_json(value: object) -> str:
    """SHA-256, hex, whatever the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_of_model(config: Mapping[str, object], weights: Sequence[Path]) -> str:
    """Over the configuration, and of each safetensors file its name, size, header and samples."""
    lasting = {
        key: value
        for key, value in config.items()
        if key not in VOLATILE and not key.startswith("_")
    }
    total = hashlib.sha256(digest_of_json(lasting).encode())
    for path in sorted(weights, key=lambda path: path.name):
        total.update(f"{path.name}\n{path.stat().st_size}\n{_digest_of_weights(path)}\n".encode())
    return total.hexdigest()


def digest_of_files(folder: Path) -> str:
    """Of configuration and weights as they lie there, hex: the same for whoever has a copy of them.
    Empty where some are missing.
    """
    try:
        config = read_json(folder / "config.json")
        is_whole = config.get("model_type") == HASH_MODEL
        return digest_of_model(config, () if is_whole else weight_files(folder))
    except SettingsError:
        return ""


def digest_of_tokenizer(folder: Path) -> str:
    """Empty where the folder has no tokenizer.json."""
    path = folder / "tokenizer.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _digest_of_weights(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        prefix = file.read(8)
        header = int.from_bytes(prefix, "little")  # the length of the JSON that names the tensors
        if len(prefix) < 8 or 8 + header > size:
            raise SettingsError(f"{path} is not a complete safetensors file")
        digest.update(prefix + file.read(header))
        for offset in _offsets(8 + header, size):
            file.seek(offset)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _offsets(start: int, end: int) -> list[int]:
    """Evenly spaced, the first and the last bytes included; all bytes where they are few."""
    if end - start <= SAMPLE_BYTES * MAX_SAMPLES:
        return list(range(start, end, SAMPLE_BYTES))
    last = end - SAMPLE_BYTES - start
    return [start + last * i // (MAX_SAMPLES - 1) for i in range(MAX_SAMPLES)]
