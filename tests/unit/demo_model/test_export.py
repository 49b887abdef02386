"""The model folder that a training ends with."""

import json
from contextlib import closing
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from demo_model.encode import Encoder
from demo_model.exchange import Dialogue, user
from demo_model.export import export
from demo_model.tokenizer import train_tokenizer
from demo_model.trainer import Trainer
from gateway.prompts.tokenizer import load_tokenizer
from tests.support.demo_training import RECIPE, SHAPE


def test_the_folder_is_a_checkpoint_like_any_other(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(SHAPE.vocab_size, seed=1, dialogues=300)
    with closing(Trainer(RECIPE, Encoder(tokenizer))) as trainer:
        export(trainer.network, tokenizer, tmp_path / "model")
        network = trainer.network
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    for name, weight in load_file(tmp_path / "model" / "model.safetensors").items():
        torch.testing.assert_close(loaded.state_dict()[name], weight)
    ids = torch.randint(0, SHAPE.vocab_size, (1, 20))
    with torch.no_grad():
        ours = network.bfloat16()(ids)
        theirs = loaded.model(ids).last_hidden_state
    torch.testing.assert_close(ours.float(), theirs.float(), rtol=0.1, atol=0.1)
    assert loaded.generation_config.temperature < 1e-5


def test_what_was_taught_is_what_a_server_asks(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(SHAPE.vocab_size, seed=1, dialogues=300)
    with closing(Trainer(RECIPE, Encoder(tokenizer))) as trainer:
        export(trainer.network, tokenizer, tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    made = Dialogue("s", "k", (user("Hello, 日本 27"),), "Hi.", "")
    assert Encoder(again).prompt_ids_of(made) == Encoder(tokenizer).prompt_ids_of(made)
    assert len(load_tokenizer(tmp_path).vocabulary) == SHAPE.vocab_size
    assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == SHAPE.vocab_size
