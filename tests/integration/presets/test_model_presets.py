"""Models made on the spot load, speak, and are whole or absent."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from baton.cluster import model_presets
from baton.cluster.model_presets import make_model
from baton.cluster.model_tokenizer import train_tokenizer
from baton.core.errors import SettingsError
from baton.core.layout import LayoutDescriptor
from baton.engine.build import build_engine
from baton.engine.config import EngineConfig

SMALL_POOL = EngineConfig(kv_cache_memory_bytes=16 << 20)


def no_progress(line: str) -> None:
    assert line


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "deep" / "tiny"
    make_model("tiny", out, no_progress)
    return out


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> PreTrainedTokenizerFast:
    loaded = PreTrainedTokenizerFast.from_pretrained(tiny)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    return loaded


def test_tiny_has_its_shape_and_stops_at_the_end_of_a_message(
    tiny: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    engine = build_engine(str(tiny), SMALL_POOL)
    try:
        assert engine.runner.layout == LayoutDescriptor(8, 4, 32, 16, "bfloat16")
        assert engine.runner.vocab_size == len(tokenizer) == 4096
        assert engine.runner.max_model_len == 4096
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert engine.runner.eos_token_ids == {end}
    finally:
        engine.close()


def test_text_of_any_kind_comes_back_from_its_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "def f(x):\n\treturn x  # größer, 漢字, 🙂\r\n\0"

    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_template_is_chatml(tokenizer: PreTrainedTokenizerFast) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}],
        },
    ]

    rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    assert rendered == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHi!<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert tokenizer(rendered).input_ids.count(start) == 3


def test_making_it_again_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    make_model("tiny", tmp_path / "again", no_progress)

    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tiny / name).read_bytes()


def test_a_vocabulary_larger_than_the_text_gives_is_filled_up() -> None:
    tokenizer = train_tokenizer(20_000, max_chars=50_000, max_length=64)

    ids = sorted(tokenizer.get_vocab().values())
    assert ids == list(range(20_000))
    assert "<|extra_" in tokenizer.decode([19_999])


def test_the_hash_preset_has_the_same_tokenizer_and_needs_no_torch(
    tiny: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from baton.cluster.model_presets import make_model;"
        "make_model('hash', Path(sys.argv[1]), lambda line: None); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "hash")], check=True, timeout=50)

    config = json.loads((tmp_path / "hash" / "config.json").read_text())
    assert config["model_type"] == "baton_hash"
    assert config["max_position_embeddings"] == 8192
    tokenizer = (tmp_path / "hash" / "tokenizer.json").read_bytes()
    assert tokenizer == (tiny / "tokenizer.json").read_bytes()
    engine = build_engine(str(tmp_path / "hash"), SMALL_POOL)
    try:
        assert engine.runner.vocab_size == 4096
        assert engine.runner.eos_token_ids == {config["eos_token_id"]}
    finally:
        engine.close()


def test_an_unknown_preset_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tiny, small, hash"):
        make_model("huge", tmp_path / "m", no_progress)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")

    with pytest.raises(SettingsError, match="not empty"):
        make_model("hash", tmp_path, no_progress)

    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_a_run_that_dies_leaves_no_half_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model_presets, "train_tokenizer", die)
    with pytest.raises(KeyboardInterrupt):
        make_model("hash", tmp_path / "m", no_progress)

    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()

    make_model("hash", tmp_path / "m", no_progress)

    assert (tmp_path / "m" / "config.json").is_file()
