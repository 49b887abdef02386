"""With --quantization int8 greedy tokens equal those of Hugging Face's model with rounded weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from baton.engine.modules.quantised import round_weights
from tests.support.models import make
from tests.support.oracle import compare, draw_case, engine_for, generate_together


@pytest.mark.parametrize("family", ["Llama", "Qwen3", "Gemma3", "Phi"])
def test_as_a_model_whose_weights_were_replaced_by_what_int8_can_say(
    request: pytest.FixtureRequest, tmp_path: Path, family: str
) -> None:
    folder, rounded = make(family, tmp_path / family), tmp_path / f"{family}-rounded"
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    round_weights(one for one in model.modules() if isinstance(one, nn.Linear))
    model.save_pretrained(rounded)
    case = draw_case(rounded, request, count=4, longest=150, num_tokens=12)

    with engine_for(replace(case, folder=folder), budget=48, quantization="int8") as engine:
        compare(request, case, generate_together(engine, case))
