"""Sampling defaults that a model's folder brings along in generation_config.json."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from baton.core.errors import SettingsError

NAME = "generation_config.json"
AUTO = "auto"
NONE = "vllm"  # vLLM's word for its own defaults
_KEYS = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_new_tokens"}


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """Used where a request says nothing. `top_k` 0 is off; `max_new_tokens` None is no bound."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int | None = None
    min_p: float = 0.0
    repetition_penalty: float = 1.0


def load_defaults(
    folder: Path, source: str = AUTO, override: Mapping[str, object] | None = None
) -> GenerationDefaults:
    """The OpenAI defaults for what neither the file nor `override` says. `source` as for
    --generation-config: auto is the model's `folder`. Raises SettingsError.
    """
    values: dict[str, object] = {}
    if source != NONE:
        values = _read(folder / NAME if source == AUTO else _file_of(source))
    for key, value in (override or {}).items():
        if key not in _KEYS:
            raise SettingsError(
                f"--override-generation-config: {key} is none of {', '.join(sorted(_KEYS))}"
            )
        values[key] = value
    return defaults_from(values)


def _file_of(source: str) -> Path:
    path = Path(source) / NAME
    if not path.is_file():
        raise SettingsError(f"--generation-config {source}: there is no {path}")
    return path


def _read(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold an object")
    return values


def defaults_from(values: dict[str, object]) -> GenerationDefaults:
    base = GenerationDefaults()
    limit = _number(values, "max_new_tokens", 0.0, low=1.0)
    return GenerationDefaults(
        temperature=_number(values, "temperature", base.temperature, low=0.0),
        top_p=_number(values, "top_p", base.top_p, low=1e-9, high=1.0),
        top_k=max(0, int(_number(values, "top_k", base.top_k, low=-1.0))),
        max_new_tokens=int(limit) or None,
        min_p=_number(values, "min_p", base.min_p, low=0.0, high=1.0),
        repetition_penalty=_number(values, "repetition_penalty", 1.0, low=1e-9, high=1e9),
    )


def _number(
    values: dict[str, object], key: str, default: float, low: float, high: float = math.inf
) -> float:
    value = values.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsError(f"{NAME}: {key} is {value!r}, which is out of range")
    return float(value)
