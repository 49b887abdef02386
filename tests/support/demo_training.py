"""A training that is small enough for a test."""

from demo_model.encode import Encoder
from demo_model.optimizer import Rates
from demo_model.shape import Shape
from demo_model.tokenizer import train_tokenizer
from demo_model.trainer import Recipe, Trainer

SHAPE = Shape(vocab_size=512, hidden=32, layers=2, heads=2, kv_heads=1, head_dim=16, inner=48)
RECIPE = Recipe(
    shape=SHAPE,
    rates=Rates(turns=((0, 0.5), (1, 1.0), (8, 0.1))),
    seed=1,
    step_tokens=1500,
    batch_tokens=600,
)


def small_encoder() -> Encoder:
    return Encoder(train_tokenizer(SHAPE.vocab_size, seed=1, dialogues=300))


def small_trainer(encoder: Encoder, threads: int = 2) -> Trainer:
    return Trainer(RECIPE, encoder, threads=threads)
