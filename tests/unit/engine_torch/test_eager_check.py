"""A family that no oracle covers is served if it equals its own eager attention, else refused."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, Cohere2ForCausalLM, PreTrainedModel

from baton.core.errors import SettingsError
from baton.engine.attention import hugging_face
from baton.engine.kv_shape import KvShape, kv_shape
from baton.engine.loading.checkpoint import load_checkpoint
from baton.engine.loading.eager_check import check_against_eager
from tests.support.models import OTHERS, VOCAB, make

EQUAL = [name for name in OTHERS if name not in ("StableLm", "Bloom")]


def loaded(folder: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    hugging_face.register()
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation=hugging_face.NAME
    )
    assert isinstance(model, PreTrainedModel)
    return model


@pytest.mark.parametrize("family", EQUAL)
def test_another_family_that_equals_itself_is_served_with_a_line(
    tmp_path: Path, family: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make(family, tmp_path / family)

    with caplog.at_level(logging.INFO, "baton"):
        checkpoint = load_checkpoint(str(folder), "auto")

    assert "tried at load" in caplog.text
    assert checkpoint.vocab_size == VOCAB
    assert checkpoint.model.config._attn_implementation == hugging_face.NAME


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounding_is_no_difference(tmp_path: Path, dtype: str) -> None:
    load_checkpoint(str(make("Cohere2", tmp_path / "cohere2")), dtype)


@pytest.mark.parametrize(("family", "reason"), [("StableLm", "attention_step"), ("Bloom", "0 of")])
def test_a_model_that_goes_past_the_paged_cache_is_refused(
    tmp_path: Path, family: str, reason: str
) -> None:
    """StableLM drops the keyword that names the step; Bloom computes its attention itself."""
    with pytest.raises(SettingsError, match=f"{family}ForCausalLM cannot.*{reason}"):
        load_checkpoint(str(make(family, tmp_path / family)), "auto")


def test_a_class_with_attentions_of_its_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some classes of transformers do it: each implementation is a module that they look up."""
    plain = Cohere2ForCausalLM.__init__

    def looks_its_attention_up(self: Cohere2ForCausalLM, config: Any) -> None:
        {"eager": plain, "sdpa": plain}[config._attn_implementation](self, config)

    folder = make("Cohere2", tmp_path / "cohere2")
    monkeypatch.setattr(Cohere2ForCausalLM, "__init__", looks_its_attention_up)

    with pytest.raises(SettingsError, match="its class computes its attention in its own ways"):
        load_checkpoint(str(folder), "auto")


def test_a_known_family_is_not_tried(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(model: PreTrainedModel, shape: KvShape) -> None:
        raise AssertionError("it was tried")

    monkeypatch.setattr("baton.engine.loading.checkpoint.check_against_eager", never)
    load_checkpoint(str(llama), "auto")


def sinks(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    """Eager attention with one more key whose score is 0 and whose value is nothing."""
    query, key, value, mask = args
    group = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(group, 1).transpose(2, 3) * kwargs["scaling"]
    scores = scores if mask is None else scores + mask
    weights = torch.cat((scores, torch.zeros_like(scores[..., :1])), dim=-1).softmax(dim=-1)
    output = weights[..., :-1] @ value.repeat_interleave(group, 1)
    return output.transpose(1, 2), None


def biased(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    """Eager attention that prefers near keys, as ALiBi does."""
    query, key, value, mask = args
    group = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(group, 1).transpose(2, 3) * kwargs["scaling"]
    scores = scores + 0.1 * torch.arange(scores.shape[-1], dtype=scores.dtype)
    weights = (scores if mask is None else scores + mask).softmax(dim=-1)
    return (weights @ value.repeat_interleave(group, 1)).transpose(1, 2), None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", [sinks, biased])
def test_an_attention_that_does_something_more_is_refused(
    llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    attention: Callable[..., tuple[Tensor, None]],
    dtype: torch.dtype,
) -> None:
    model = loaded(llama, dtype)
    monkeypatch.setattr(
        "transformers.models.llama.modeling_llama.eager_attention_forward", attention
    )

    with pytest.raises(SettingsError, match=r"LlamaForCausalLM .* differ .* standard deviations"):
        check_against_eager(model, kv_shape(model))


def test_a_window_that_the_attention_is_not_told_of_is_seen_though_it_is_wide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(make("Mistral", tmp_path / "mistral", sliding_window=1000))
    check_against_eager(model, kv_shape(model))
    assert model.config.sliding_window == 1000

    plain = hugging_face.paged_attention

    def deaf(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        return plain(*args, **{**kwargs, "sliding_window": None})

    monkeypatch.setattr(hugging_face, "paged_attention", deaf)
    hugging_face.register()
    try:
        with pytest.raises(SettingsError, match="differ"):
            check_against_eager(model, kv_shape(model))
    finally:
        monkeypatch.undo()
        hugging_face.register()
