"""Hash models for tests, in memory and as a folder."""

import hashlib
from pathlib import Path

from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.engine.runners.hash_model import DTYPE, HashModelConfig, HashRunner

# An end-of-sequence token every 97 tokens on average: long answers, some of which end early.
HASH_MODEL = HashModelConfig(
    vocab_size=97,
    num_layers=2,
    num_kv_heads=2,
    head_dim=4,
    max_position_embeddings=4096,
    eos_token_id=7,
    model_key="test",
)


def write_hash_model(folder: Path, model: HashModelConfig = HASH_MODEL) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(model.to_json())
    return folder


def hash_runner(model: HashModelConfig = HASH_MODEL, block_size: int = 16) -> HashRunner:
    fingerprint = Fingerprint(
        protocol=PROTOCOL_VERSION,
        model_digest=hashlib.sha256(model.to_json().encode()).hexdigest(),
        revision="",
        tokenizer_digest="",
        dtype=DTYPE,
        layout=model.layout(block_size),
        rope_digest="",
    )
    return HashRunner(model, fingerprint)
