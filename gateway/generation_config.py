"""Sampling defaults that a model's folder brings along in generation_config.json."""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

from baton.core.errors import SettingsError

logger = logging.getLogger(__name__)

NAME = "generation_config.json"
# Keys that other servers take as defaults too but this version cannot act on; key -> off.
_NOT_YET = {"repetition_penalty": 1.0, "min_p": 0.0}


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """Used where a request says nothing. `top_k` 0 is off; `max_new_tokens` None is no bound."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int | None = None


def load_defaults(folder: Path) -> GenerationDefaults:
    """The OpenAI defaults for what the file does not say, or when there is no file."""
    path = folder / NAME
    if not path.is_file():
        return GenerationDefaults()
    try:
        values = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold an object")
    for key, off in _NOT_YET.items():
        if values.get(key, off) not in (off, None):
            logger.warning("%s asks for %s, which this version does not apply", NAME, key)
    return defaults_from(values)


def defaults_from(values: dict[str, object]) -> GenerationDefaults:
    base = GenerationDefaults()
    limit = _number(values, "max_new_tokens", 0.0, low=1.0)
    return GenerationDefaults(
        temperature=_number(values, "temperature", base.temperature, low=0.0),
        top_p=_number(values, "top_p", base.top_p, low=1e-9, high=1.0),
        top_k=max(0, int(_number(values, "top_k", base.top_k, low=-1.0))),
        max_new_tokens=int(limit) or None,
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
