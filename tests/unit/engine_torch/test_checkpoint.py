"""What a folder must hold, what is refused, and what the digests see."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from baton.core.errors import SettingsError
from baton.core.layout import LayoutDescriptor
from baton.engine.loading.checkpoint import load_checkpoint
from baton.model_source.checkpoint_digest import MAX_SAMPLES, SAMPLE_BYTES, digest_of_model
from tests.support.models import FAMILIES, VOCAB, make, make_llama

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    """A folder that the test may break."""
    return shutil.copytree(llama, tmp_path / "copy")


def edit_json(path: Path, edit: Edit) -> None:
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def edit_config(folder: Path, edit: Edit) -> None:
    edit_json(folder / "config.json", edit)


def digest(folder: Path) -> str:
    return load_checkpoint(str(folder), "auto").model_digest


def test_a_llama_says_its_shape(llama: Path) -> None:
    checkpoint = load_checkpoint(str(llama), "auto")

    assert checkpoint.layout(32) == LayoutDescriptor(3, 2, 16, 32, "float32")
    assert (checkpoint.vocab_size, checkpoint.max_model_len) == (1000, 4096)
    assert checkpoint.eos_token_ids == {2}
    assert not checkpoint.model.training


def test_a_qwen3_says_its_shape(qwen3: Path) -> None:
    checkpoint = load_checkpoint(str(qwen3), "auto")

    assert checkpoint.layout(16) == LayoutDescriptor(2, 2, 32, 16, "float32")


def test_the_dtype_asked_for_is_that_of_weights_cache_and_fingerprint(llama: Path) -> None:
    checkpoint = load_checkpoint(str(llama), "bfloat16")

    assert checkpoint.model.dtype == torch.bfloat16
    assert checkpoint.layout(16).dtype == "bfloat16"
    assert checkpoint.fingerprint(16).dtype == "bfloat16"
    assert checkpoint.fingerprint(16) != load_checkpoint(str(llama), "auto").fingerprint(16)


def test_loading_twice_gives_one_fingerprint(llama: Path, copy: Path) -> None:
    first = load_checkpoint(str(llama), "auto").fingerprint(16)

    assert load_checkpoint(str(copy), "auto").fingerprint(16) == first


def test_a_shard_by_shard_checkpoint_is_the_same_model(llama: Path, tmp_path: Path) -> None:
    whole = load_checkpoint(str(llama), "auto").model
    AutoModelForCausalLM.from_pretrained(llama).save_pretrained(
        tmp_path / "shards", max_shard_size="200KB"
    )
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1

    shards = load_checkpoint(str(tmp_path / "shards"), "auto").model

    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), shards.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        ([5, 7], 2, {5, 7}),
        (9, 2, {9}),
        (None, [3, 4], {3, 4}),
        (None, 6, {6}),
        (None, None, set()),
    ],
)
def test_ends_of_sequence_come_from_the_generation_config_first(
    copy: Path, generation: object, config: object, expected: set[int]
) -> None:
    edit_config(copy, lambda values: values.update(eos_token_id=config))
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}))

    assert load_checkpoint(str(copy), "auto").eos_token_ids == expected


def test_a_path_that_does_not_exist_is_named() -> None:
    with pytest.raises(SettingsError, match=r"org/name.*does not exist"):
        load_checkpoint("org/name", "auto")


def test_an_architecture_of_nobody_is_refused_with_the_tested_ones(copy: Path) -> None:
    edit_config(copy, lambda values: values.update(architectures=["HomeMadeLM"]))

    with pytest.raises(SettingsError, match=r"HomeMadeLM.*LlamaForCausalLM, Qwen2ForCausalLM"):
        load_checkpoint(str(copy), "auto")


def quantized_by(method: str, config: dict[str, Any]) -> None:
    config["quantization_config"] = {"quant_method": method}


REFUSALS: dict[str, tuple[Edit, str]] = {
    "no architecture": (lambda c: c.pop("architectures"), "architecture"),
    **{
        f"quantized by {method}": (
            partial(quantized_by, method),
            f"a checkpoint quantized by {method}; take the float one",
        )
        for method in ("fp8", "awq", "gptq", "compressed-tensors", "bitsandbytes")
    },
    "dynamic rope": (
        lambda c: c.update(
            rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
        ),
        "rope type 'dynamic'",
    ),
    "float64": (lambda c: c.update(dtype="float64"), "float64.*--dtype float32 or bfloat16"),
    "unknown to transformers": (lambda c: c.update(model_type="homemade"), "homemade"),
    "no known length": (lambda c: c.update(max_position_embeddings=None), "max_position_embed"),
    "no length": (lambda c: c.update(max_position_embeddings=0), "max_position_embeddings 0"),
    "no heads": (lambda c: c.update(num_key_value_heads=0), "cannot be loaded.*ZeroDivision"),
    "nonsense in place of labels": (lambda c: c.update(id2label=5), "config.json cannot be used"),
    "nonsense in place of a flag": (lambda c: c.update(output_attentions="x"), "cannot be loaded"),
    "no names of layer types": (lambda c: c.update(layer_types=[[1]]), "hybrid model"),
    "other shapes": (lambda c: c.update(vocab_size=999), "other shapes"),
    "more layers": (lambda c: c.update(num_hidden_layers=4), "lacks weights"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_config_that_cannot_be_served_is_refused(copy: Path, name: str) -> None:
    edit, message = REFUSALS[name]
    edit_config(copy, edit)

    with pytest.raises(SettingsError, match=message):
        load_checkpoint(str(copy), "auto")


@pytest.mark.parametrize("kind", ["llama", "homemade"])
def test_code_that_comes_with_a_checkpoint_never_runs_nor_asks_to(
    copy: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    code = (
        "from pathlib import Path\n"
        f"Path({str(copy / 'it-ran')!r}).touch()\n"
        "from transformers import LlamaConfig as Config, LlamaForCausalLM as Model\n"
    )
    (copy / "own.py").write_text(code)
    auto_map = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    edit_config(copy, lambda values: values.update(model_type=kind, auto_map=auto_map))
    asked: list[str] = []

    def yes(prompt: str = "") -> str:
        asked.append(prompt)
        return "y"

    monkeypatch.setattr("builtins.input", yes)
    if kind == "llama":
        load_checkpoint(str(copy), "auto")
    else:
        with pytest.raises(SettingsError, match="model_type 'homemade'"):
            load_checkpoint(str(copy), "auto")

    assert not asked
    assert not (copy / "it-ran").exists()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_shapes_come_from_the_model_whatever_its_config_says(
    tmp_path: Path, family: str, dtype: str
) -> None:
    folder = make(family, tmp_path / family)
    if family == "Phi":  # as older files of this family are
        edit_config(folder, lambda values: values.pop("num_key_value_heads"))

    checkpoint = load_checkpoint(str(folder), dtype)

    heads = {"Phi": 4}.get(family, 2)
    layers, dim = (2, 32) if family == "Qwen3" else (3, 16)
    assert checkpoint.layout(16) == LayoutDescriptor(layers, heads, dim, 16, dtype)
    assert checkpoint.vocab_size == VOCAB


def test_an_unknown_dtype_is_refused(llama: Path) -> None:
    with pytest.raises(SettingsError, match="--dtype 'int8'"):
        load_checkpoint(str(llama), "int8")


def test_missing_and_broken_files_are_named(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(SettingsError, match="cannot be loaded"):
        load_checkpoint(str(copy), "auto")
    weights.unlink()
    with pytest.raises(SettingsError, match=r"lacks its weights: model\.safetensors"):
        load_checkpoint(str(copy), "auto")
    (copy / "config.json").write_text("{")
    with pytest.raises(SettingsError, match=r"config\.json cannot be read"):
        load_checkpoint(str(copy), "auto")


def test_the_model_digest_ignores_who_wrote_the_config(copy: Path) -> None:
    before = digest(copy)
    edit_config(
        copy, lambda values: values.update(transformers_version="9.9.9", _name_or_path="elsewhere")
    )

    assert digest(copy) == before


def test_the_model_digest_sees_the_config_and_other_weights(copy: Path, tmp_path: Path) -> None:
    before = digest(copy)
    other = make_llama(tmp_path / "other", seed=1)
    assert digest(other) != before

    edit_config(copy, lambda values: values.update(rms_norm_eps=1e-5))
    assert digest(copy) != before


def test_the_model_digest_sees_one_changed_number_in_a_small_file(copy: Path) -> None:
    before = digest(copy)
    weights = load_file(copy / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][17, 5] += 1.0
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})

    assert digest(copy) != before


def test_the_model_digest_of_a_large_file_reads_samples_from_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    size = 4 * SAMPLE_BYTES * MAX_SAMPLES

    def digest_with(changed: int | None) -> str:
        data = bytearray(size)
        if changed is not None:
            data[changed] = 1
        path.write_bytes((2).to_bytes(8, "little") + b"{}" + data)
        return digest_of_model({}, [path])

    before = digest_with(None)
    assert digest_with(0) != before
    assert digest_with(size - 1) != before
    assert digest_with(SAMPLE_BYTES * 3) == before  # between two samples


def test_the_tokenizer_digest_is_of_its_file(copy: Path) -> None:
    assert load_checkpoint(str(copy), "auto").tokenizer_digest == ""

    (copy / "tokenizer.json").write_text("{}")

    assert len(load_checkpoint(str(copy), "auto").tokenizer_digest) == 64


def test_a_snapshot_of_a_hub_says_its_commit(copy: Path, tmp_path: Path) -> None:
    assert load_checkpoint(str(copy), "auto").fingerprint(16).revision == ""
    snapshot = shutil.copytree(copy, tmp_path / "snapshots" / ("0a" * 20))

    assert load_checkpoint(str(snapshot), "auto").fingerprint(16).revision == "0a" * 20


def test_the_rope_digest_sees_its_parameters(copy: Path) -> None:
    before = load_checkpoint(str(copy), "auto").rope_digest
    edit_config(copy, lambda values: values["rope_parameters"].update(rope_theta=5e5))

    assert load_checkpoint(str(copy), "auto").rope_digest != before
