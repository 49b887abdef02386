"""`python -m demo_model`: trains the demo model, or examines one that is there."""

import time
from pathlib import Path

import click
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from demo_model.compiler import can_compile
from demo_model.curve import Curve
from demo_model.encode import Encoder
from demo_model.examine import Mark, examine
from demo_model.export import WEIGHTS, export
from demo_model.network import Network
from demo_model.shape import Shape
from demo_model.tokenizer import train_tokenizer
from demo_model.trainer import Recipe, Trainer

SHIPPED = Path(__file__).parent.parent / "baton" / "demo"
_CHECKPOINT = "checkpoint.pt"
_SAVE_EVERY = 50  # steps
_TELL_EVERY = 25
_EXAMINE_EVERY = 1000


@click.group()
def main() -> None:
    """The model that `baton up` serves when it is told no other."""


@main.command()
@click.option("--out", default=SHIPPED, show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--work",
    default=Path("demo-training"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where checkpoints are kept; a training that was ended goes on from there.",
)
@click.option("--seconds", default=float("inf"), help="End early, and write no model.")
@click.option("--count", default=100, show_default=True, help="Questions of each skill at the end.")
def train(out: Path, work: Path, seconds: float, count: int) -> None:
    """Train from scratch, examine, and write the model folder."""
    recipe = Recipe()
    click.echo("training the tokenizer")
    tokenizer = train_tokenizer(recipe.shape.vocab_size, recipe.seed)
    encoder = Encoder(tokenizer)
    compiled = can_compile()
    click.echo("compiling the network" if compiled else "no g++ here: this will take longer")
    trainer = Trainer(recipe, encoder, compiled=compiled)
    try:
        whole = run(trainer, work, seconds)
    finally:
        trainer.close()
    if not whole:
        return
    show(examine(trainer.network, encoder, count, seed=0))
    export(trainer.network, tokenizer, out)
    click.echo(f"the model is in {out}")


@main.command("examine")
@click.option("--model", default=SHIPPED, show_default=True, type=click.Path(path_type=Path))
@click.option("--count", default=200, show_default=True, help="Questions of each skill.")
@click.option("--seed", default=0, show_default=True)
def examine_command(model: Path, count: int, seed: int) -> None:
    """Ask a model what it was never taught, and count the right answers."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    network = Network(Shape())
    network.load_state_dict(load_file(model / WEIGHTS))
    show(examine(network, Encoder(tokenizer), count, seed))


def run(trainer: Trainer, work: Path, seconds: float) -> bool:
    """Goes on from the checkpoint in `work`, if there is one; whether it came to the end."""
    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / _CHECKPOINT
    if checkpoint.exists():
        trainer.resume(checkpoint)
        click.echo(f"going on after step {trainer.done}")
    curve = Curve(trainer.recipe.rates.steps)
    began = told = time.monotonic()
    tokens = 0
    while trainer.done < trainer.recipe.rates.steps:
        loss, read = trainer.step()
        curve.add(trainer.done, loss)
        tokens += read
        now = time.monotonic()
        if trainer.done % _TELL_EVERY == 0:
            speed = tokens / (now - told)
            click.echo(curve.line(trainer.done, speed, now - began))
            told, tokens = now, 0
        if trainer.done % _SAVE_EVERY == 0:
            trainer.save(checkpoint)
        if trainer.done % _EXAMINE_EVERY == 0:
            show(examine(trainer.network, trainer.encoder, 50, seed=1))
        if now - began > seconds:
            return False
    click.echo(curve.drawn())
    trainer.save(checkpoint)
    return True


def show(marks: dict[str, Mark]) -> None:
    for skill, mark in marks.items():
        click.echo(f"{skill:<18} {mark.right}/{mark.asked}  {mark.share:.1%}")
        for wrong in mark.wrong[:5]:
            click.echo(f"    {wrong!r}")


if __name__ == "__main__":
    torch.set_num_threads(1)  # threads of our own do not wait for each other within an operation
    main()
