"""What workers of one kind take for their steps, as it was measured: a file of YAML or JSON."""

import math
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from baton.core.errors import SettingsError
from baton.core.layout import DTYPE_BYTES, LayoutDescriptor

SHIPPED = files("baton.cluster.simulator") / "profiles"


@dataclass(frozen=True, slots=True)
class Profile:
    """Times in seconds. A step that reads takes `read_step` + `read_token` per token of a prompt +
    `read_pair` per token and token that it attends to; one that writes `write_step` +
    `write_sequence` per answer + `write_context` per token that one of them attends to; one that
    does both the first and, of the second, what is per answer and token.
    """

    read_step: float
    read_token: float
    read_pair: float
    write_step: float
    write_sequence: float
    write_context: float
    link_seconds: float  # of a hand-off, whatever its size
    link_bytes_per_second: float
    num_layers: int
    num_kv_heads: int
    head_dim: int
    dtype: str  # of the KV cache
    block_size: int  # tokens
    num_blocks: int  # of one worker
    max_num_seqs: int
    max_num_batched_tokens: int
    max_mixed_prompt_tokens: int  # of them, tokens of prompts beside answers being written
    call_seconds: float = 0.002  # from gateway to worker or back
    step_noise: float = 0.0  # standard deviation of a step's time, as a share of it
    worker_noise: float = 0.0  # of a worker's own speed, likewise
    note: str = ""  # where the figures come from

    @property
    def layout(self) -> LayoutDescriptor:
        return LayoutDescriptor(
            self.num_layers, self.num_kv_heads, self.head_dim, self.block_size, self.dtype
        )

    @property
    def token_bytes(self) -> float:
        return self.layout.block_bytes / self.block_size

    def reads(self, tokens: int, before: int) -> float:
        """A whole prompt alone, of which `before` tokens were cached."""
        steps = math.ceil(tokens / self.max_num_batched_tokens)
        pairs = tokens * (before + tokens / 2)
        return steps * self.read_step + tokens * self.read_token + pairs * self.read_pair

    def writes(self, sequences: int, context: float) -> float:
        """One step; `context` of all sequences together."""
        return self.write_step + sequences * self.write_sequence + context * self.write_context


def read_profile(name: str) -> Profile:
    """A file, or the name of one that is shipped. Raises SettingsError."""
    path = Path(name)
    try:
        shipped = SHIPPED / f"{name}.yaml"
        text = path.read_text("utf-8") if path.is_file() else shipped.read_text("utf-8")
        said = yaml.safe_load(text)
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.name.removesuffix(".yaml") for p in SHIPPED.iterdir()))
        raise SettingsError(f"there is no profile {name}: neither a file nor {known}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"cannot read the profile {name}: {error}") from error
    return profile_of(said, name)


def profile_of(said: Any, name: str) -> Profile:
    """Raises SettingsError, naming the key that is wrong."""
    if not isinstance(said, dict):
        raise SettingsError(f"the profile {name} is no mapping of names to numbers")
    known = {field.name: field for field in fields(Profile)}
    for key in said.keys() - known.keys():
        raise SettingsError(f"profile {name}: {key} is unknown; known are {', '.join(known)}")
    needed = [key for key, field in known.items() if not _has_default(field)]
    if missing := [key for key in needed if key not in said]:
        raise SettingsError(f"profile {name}: {', '.join(missing)} missing")
    values = {key: _value(name, key, known[key].type, value) for key, value in said.items()}
    return Profile(**values)


def _has_default(field: Any) -> bool:
    return isinstance(field.default, str | int | float)


def _value(name: str, key: str, kind: Any, value: Any) -> Any:
    if kind is str:
        if not isinstance(value, str) or (key == "dtype" and value not in DTYPE_BYTES):
            raise SettingsError(f"profile {name}: {key} cannot be {value!r}")
        return value
    try:
        number = float(value)  # YAML takes 1e-6 for a text
    except (TypeError, ValueError):
        number = math.nan
    least = 1 if kind is int else 0
    if not least <= number < math.inf or (kind is int and number != int(number)):
        raise SettingsError(
            f"profile {name}: {key} must be a number from {least} on, not {value!r}"
        )
    return int(number) if kind is int else number
