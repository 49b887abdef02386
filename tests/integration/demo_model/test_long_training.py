"""A minute of the real training."""

import time
from contextlib import closing

import pytest

from demo_model.encode import Encoder
from demo_model.tokenizer import train_tokenizer
from demo_model.trainer import Recipe, Trainer

SECONDS = 60.0
AT_LEAST = 6  # steps, however slow the machine


@pytest.mark.long
@pytest.mark.timeout(900)
def test_in_a_minute_the_loss_falls() -> None:
    recipe = Recipe()
    encoder = Encoder(train_tokenizer(recipe.shape.vocab_size, recipe.seed))
    losses: list[float] = []
    with closing(Trainer(recipe, encoder)) as trainer:
        began = time.monotonic()
        while time.monotonic() - began < SECONDS or len(losses) < AT_LEAST:
            losses.append(trainer.step()[0])
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3]), losses
