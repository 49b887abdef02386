"""A stand-in for a model: what it writes depends on every KV byte that it reads.

A KV entry is a hash of (token, position, model key). The next token is a hash of the KV bytes of
all positions up to the last one, read from the pool's memory through the block table; when not
greedy, mixed with the key of the draw. So a lost, stale, torn or foreign block changes the text.
Temperature, top_p and top_k only decide whether it is greedy. allowed_token_ids and min_tokens say
which tokens there are to choose from. Penalties, bias, bad words and min_p are mixed into the hash:
whoever loses one writes another text. Log-probabilities are hashes too; plugins are refused. A search
is given candidates that are a hash of the same bytes, many of them equally probable.

`step_seconds` and `token_seconds` belong to the model: each step takes that long (plus that long
for each token in it), so that tests of overlap and of sudden death find it at work.
"""

import hashlib
import json
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from baton.core.errors import BatonError, InternalError, RequestError, SettingsError
from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.core.sampling_hash import mix, row_key
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenLogprobs
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.config import EngineConfig
from baton.engine.plan import Draw, Drawn, Slice, SliceResult, StepPlan
from baton.engine.runners.hash_candidates import searched
from baton.model_source.checkpoint_digest import HASH_MODEL

DTYPE = "uint8"
_HASH_BYTES = 64  # of one BLAKE2b; longer entries are several

Rows = Iterable[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class HashModelConfig:
    """The fields of config.json; others in the file mean nothing to this model."""

    vocab_size: int
    num_layers: int
    num_kv_heads: int
    head_dim: int  # bytes: the KV cache's elements are bytes
    max_position_embeddings: int  # tokens
    eos_token_id: int
    model_key: str  # models of unequal key share no entry
    step_seconds: float = 0.0
    token_seconds: float = 0.0

    @property
    def num_rows(self) -> int:
        """Runs of `head_dim` bytes that one token has in a block."""
        return self.num_layers * 2 * self.num_kv_heads

    def layout(self, block_size: int) -> LayoutDescriptor:
        return LayoutDescriptor(
            self.num_layers, self.num_kv_heads, self.head_dim, block_size, DTYPE
        )

    def to_json(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps({"model_type": HASH_MODEL, **values}, indent=2) + "\n"


def kv_entry(config: HashModelConfig, token: int, position: int) -> bytes:
    """All rows of one token, in the layout's order: [layer][K|V][kv_head][head_dim]."""
    length = config.num_rows * config.head_dim
    start = hashlib.blake2b(config.model_key.encode())
    parts = []
    for part in range(-(-length // _HASH_BYTES)):
        state = start.copy()
        state.update(struct.pack("<QQQ", token, position, part))
        parts.append(state.digest())
    return b"".join(parts)[:length]


def next_token(config: HashModelConfig, rows: Rows, draw: Draw) -> Drawn | RequestError:
    """From the KV bytes of all positions before the draw's, row after row, each by position."""
    value, params = past_hash(rows), draw.params
    scored = value
    if not params.greedy:
        value = mix(value ^ row_key(params.seed, draw.choice, draw.position))
    if taste := _taste(params):
        value = mix(value ^ past_hash([taste]))
    choice: Sequence[int] = range(config.vocab_size)
    if params.allowed_token_ids or params.min_tokens:
        choice = _choice(config, draw)
    if not choice:
        return RequestError("no token is left to draw")
    token = choice[value % len(choice)]
    if params.logprobs is None:
        return Drawn(token)
    return Drawn(token, pseudo_logprobs(config, scored, token, params.logprobs))


def past_hash(rows: Rows) -> int:
    state = hashlib.blake2b(digest_size=8)
    for piece in rows:
        state.update(piece)
    return int.from_bytes(state.digest(), "little")


def pseudo_logprobs(config: HashModelConfig, past: int, token: int, count: int) -> TokenLogprobs:
    """Of float32's numbers; a hash of the past and the token."""
    values = {each: -(1 + (mix(past ^ each) >> 50)) / 1024 for each in range(config.vocab_size)}
    order = sorted(values, key=lambda each: (-values[each], each))
    top = tuple((each, values[each]) for each in order[:count])
    return TokenLogprobs(values[token], order.index(token) + 1, top)


def _taste(params: SamplingParams) -> bytes:
    """Empty where nothing is preferred."""
    bias, words = params.logit_bias, params.bad_words
    if not (params.penalised or bias or words or params.min_p):
        return b""
    penalties = (params.repetition_penalty, params.presence_penalty, params.frequency_penalty)
    return repr((penalties, bias, words, params.min_p)).encode()


def _choice(config: HashModelConfig, draw: Draw) -> list[int]:
    """Tokens that the parameters leave, ascending."""
    params = draw.params
    banned: set[int] = set()
    if draw.position - draw.num_prompt < params.min_tokens:
        banned = {config.eos_token_id, *params.stop_token_ids}
    return [t for t in params.allowed_token_ids or range(config.vocab_size) if t not in banned]


class HashRunner:
    """A `Runner` without torch."""

    def __init__(self, config: HashModelConfig, fingerprint: Fingerprint) -> None:
        self._config = config
        self._fingerprint = fingerprint
        self._block_bytes = fingerprint.layout.block_bytes
        self._row_bytes = fingerprint.layout.block_size * config.head_dim  # of one block
        self._pool: KvPool | None = None

    @property
    def layout(self) -> LayoutDescriptor:
        return self._fingerprint.layout

    @property
    def fingerprint(self) -> Fingerprint:
        return self._fingerprint

    @property
    def vocab_size(self) -> int:
        return self._config.vocab_size

    @property
    def eos_token_ids(self) -> frozenset[int]:
        return frozenset({self._config.eos_token_id})

    @property
    def max_model_len(self) -> int:
        return self._config.max_position_embeddings

    def attach(self, pool: KvPool) -> None:
        self._pool = pool

    def check(self, params: SamplingParams) -> None:
        if params.processors:
            raise RequestError("a hash model has no logits to process", "logits_processors")
        if params.extra_args:
            raise RequestError("a hash model has no logits to process", "vllm_xargs")

    def foresees(self, params: SamplingParams) -> bool:
        """A draw reads KV and its own position."""
        return True

    def rest(self) -> None:
        """It has no cores to lend."""

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        if self._pool is None:
            raise InternalError("the runner has no pool yet")
        time.sleep(self._config.step_seconds + self._config.token_seconds * plan.num_tokens)
        view = self._pool.view
        for piece in plan.slices:  # all before any draw: a write into a foreign block shows at once
            for position, token in enumerate(piece.tokens, piece.start):
                self._write(view, piece.blocks, position, kv_entry(self._config, token, position))
        return [self._result(view, piece) for piece in plan.slices]

    def _result(self, view: memoryview, piece: Slice) -> SliceResult | BatonError:
        if any(draw.params.grammar is not None for draw in piece.draws):
            return RequestError("this is a hash model: it can do no structured output")
        drawn: list[Drawn] = []
        for draw in piece.draws:
            rows = self._read(view, piece.blocks, piece.start + len(piece.tokens))
            if draw.params.beam is not None:
                drawn.append(searched(self._config.vocab_size, past_hash(rows), draw))
                continue
            outcome = next_token(self._config, rows, draw)
            if isinstance(outcome, RequestError):
                return outcome
            drawn.append(outcome)
        return SliceResult(tuple(drawn), self._scores(view, piece))

    def _scores(self, view: memoryview, piece: Slice) -> tuple[TokenLogprobs, ...]:
        return tuple(
            pseudo_logprobs(
                self._config,
                past_hash(self._read(view, piece.blocks, length)),
                token,
                piece.num_alternatives,
            )
            for length, token in enumerate(piece.targets, piece.start + 1)
        )

    def _write(self, view: memoryview, blocks: Sequence[int], position: int, entry: bytes) -> None:
        width, stride = self._config.head_dim, self._row_bytes
        index, offset = divmod(position, self.layout.block_size)
        at = blocks[index] * self._block_bytes + offset * width
        for start in range(0, len(entry), width):
            view[at : at + width] = entry[start : start + width]
            at += stride

    def _read(self, view: memoryview, blocks: Sequence[int], length: int) -> Iterable[memoryview]:
        """KV bytes of the first `length` positions, row after row, whatever the block size."""
        for row in range(self._config.num_rows):
            left = length * self._config.head_dim
            for block in blocks:
                at = block * self._block_bytes + row * self._row_bytes
                yield view[at : at + min(left, self._row_bytes)]
                left -= min(left, self._row_bytes)


def load_hash_runner(folder: Path, config: EngineConfig) -> HashRunner:
    """Reads the folder of a model whose config.json has model_type "baton_hash"."""
    if config.logits_processors or config.logits_processor_pattern:
        raise SettingsError("a hash model has no logits: it takes no logits processors")
    if config.quantization:
        raise SettingsError(
            f"--quantization {config.quantization}: a hash model has no weights; leave it out"
        )
    if config.dtype != "auto":
        raise SettingsError(
            f"--dtype {config.dtype}: a hash model has bytes only; leave it at auto"
        )
    text = (folder / "config.json").read_bytes()
    model = parse_hash_config(text, str(folder))
    tokenizer = folder / "tokenizer.json"
    fingerprint = Fingerprint(
        protocol=PROTOCOL_VERSION,
        model_digest=hashlib.sha256(text).hexdigest(),
        revision="",
        tokenizer_digest=_digest_of(tokenizer) if tokenizer.is_file() else "",
        dtype=DTYPE,
        layout=model.layout(config.block_size),
        rope_digest="",
        numeric_class="bytes" if config.batch_invariant else "",  # it rounds nothing
    )
    return HashRunner(model, fingerprint)


def parse_hash_config(text: bytes, where: str) -> HashModelConfig:
    """Raises SettingsError that names the field at fault."""
    read: dict[str, Any] = json.loads(text)
    values: dict[str, Any] = {}
    for spec in fields(HashModelConfig):
        if spec.name in read:
            values[spec.name] = _checked(read[spec.name], spec.name, where)
        elif spec.default is MISSING:
            raise SettingsError(f"{where}: config.json of a hash model lacks {spec.name}")
    return HashModelConfig(**values)


def _checked(value: Any, name: str, where: str) -> Any:
    if name == "model_key":
        good = isinstance(value, str)
    elif name.endswith("_seconds"):
        good = isinstance(value, int | float) and value >= 0
    else:
        least = 0 if name == "eos_token_id" else 1
        good = isinstance(value, int) and value >= least
    if not good:
        raise SettingsError(f"{where}: {name} {value!r} in config.json is not possible")
    return value


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
