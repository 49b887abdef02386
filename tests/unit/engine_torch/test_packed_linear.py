"""Packed layers come out as the layers they replace, and one that does not is left alone."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from baton.engine import packing
from baton.engine.modules.packed_linear import PackedLinear, pack_linears
from baton.engine.packing import copied_bytes, packs_linears
from tests.support.models import FAMILIES, make

pytestmark = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 here"
)


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_model_says_what_it_said_before(tmp_path: Path, family: str) -> None:
    model = loaded(make(family, tmp_path / family))
    tokens = torch.randint(model.config.vocab_size, (1, 30))
    with torch.inference_mode():
        before = model(tokens).logits.float()
        replaced = pack_linears(model)
        after = model(tokens).logits.float()

    assert replaced == sum(isinstance(module, PackedLinear) for module in model.modules())
    assert not any(type(module) is nn.Linear for module in model.modules())
    assert (after - before).abs().max() < 0.1 * before.std()
    assert model.dtype == torch.bfloat16


def test_a_layer_that_differs_is_left_with_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = nn.ModuleDict(
        {"wrong": nn.Linear(32, 48, bias=False), "right": nn.Linear(32, 64)}
    ).bfloat16()
    plain = PackedLinear.forward

    def wrong(self: PackedLinear, states: Tensor) -> Tensor:
        return plain(self, states) * (1.1 if self.bias is None else 1.0)

    monkeypatch.setattr(PackedLinear, "forward", wrong)
    with caplog.at_level(logging.WARNING, "baton"):
        assert pack_linears(model) == 1

    assert type(model["wrong"]) is nn.Linear
    assert type(model["right"]) is PackedLinear
    assert "wrong of 48 x 32 is left as it was" in caplog.text


def test_a_difference_in_many_rows_only_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PackedLinear.forward
    monkeypatch.setattr(
        PackedLinear,
        "forward",
        lambda self, rows: plain(self, rows) * (0.9 if len(rows) > 9 else 1),
    )

    assert pack_linears(nn.ModuleDict({"one": nn.Linear(32, 48)}).bfloat16()) == 0


def test_float32_layers_are_left_alone() -> None:
    assert pack_linears(nn.ModuleDict({"one": nn.Linear(8, 8)})) == 0


def test_weights_go_but_a_tied_embedding_stays(tmp_path: Path) -> None:
    model = loaded(make("Qwen3", tmp_path / "tied"))
    embedding = model.get_input_embeddings().weight
    assert model.lm_head.weight is embedding

    pack_linears(model)

    kept = [p for p in model.parameters() if p.dim() == 2 and not p.is_meta]
    assert [p.data_ptr() for p in kept] == [embedding.data_ptr()]


@pytest.mark.parametrize(("flags", "bfloat16"), [({"avx512_bf16"}, True), ({"avx512f"}, False)])
def test_only_bfloat16_on_a_cpu_that_computes_in_it_is_packed_and_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: set[str], bfloat16: bool
) -> None:
    monkeypatch.setattr(packing, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setenv("CXX", "no-such-compiler")
    tied, untied = make("Qwen3", tmp_path / "tied"), make("Llama", tmp_path / "untied")

    assert packs_linears("bfloat16") == bfloat16
    assert not packs_linears("float32")
    assert not packs_linears("float16")
    assert copied_bytes(tied, "bfloat16") == (2 * 1000 * 96 if bfloat16 else 0)
    assert copied_bytes(tied, "auto") == 0  # stored as float32
    assert copied_bytes(untied, "bfloat16") == 0
