"""The training: what is taught, what a step does, and that it can be ended and gone on with."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from demo_model.batches import LONGEST, batch_of, batched, step_batches
from demo_model.composer import dialogue
from demo_model.curve import Curve
from demo_model.encode import Encoder
from demo_model.exchange import Dialogue, assistant, user
from demo_model.network import Network
from demo_model.optimizer import rate
from demo_model.shape import hugging_face_config
from demo_model.split import Split
from demo_model.trainer import Trainer
from tests.support.demo_training import RECIPE, SHAPE, small_encoder, small_trainer


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return small_encoder()


@contextmanager
def training(encoder: Encoder, threads: int = 2) -> Iterator[Trainer]:
    with closing(small_trainer(encoder, threads)) as trainer:
        yield trainer


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in trainer.network.state_dict().items()}


def taught(encoder: Encoder, made: Dialogue) -> str:
    sample = encoder.sample_of(made)
    ids = [token for token, is_taught in zip(sample.ids, sample.taught, strict=True) if is_taught]
    return encoder.text_of(ids)


TURNS = (user("One?"), assistant("Two three."), user("Four?"))


def test_answers_are_taught_with_their_end_and_nothing_else(encoder: Encoder) -> None:
    made = Dialogue("s", "k", (user("Four?"),), "Five.", "Six.")
    assert taught(encoder, made) == "Five.<|im_end|>"


def test_of_an_earlier_answer_all_but_its_first_token_is_taught(encoder: Encoder) -> None:
    text = taught(encoder, Dialogue("s", "k", TURNS, "Five.", "Six."))
    earlier, last = text.split("<|im_end|>")[:2]
    assert "Two three.".endswith(earlier)
    assert last == "Five."


def test_thoughts_are_taught_where_the_model_is_to_think(encoder: Encoder) -> None:
    made = Dialogue("s", "k", (user("Four?"),), "Five.", "Six.", thinking=True)
    assert taught(encoder, made) == "<think>\nSix.\n</think>\n\nFive.<|im_end|>"


def test_under_a_grammar_only_values_are_taught(encoder: Encoder) -> None:
    answer = '{"city": "Oslo", "n": 7, "ok": true}'
    made = Dialogue("s", "k", (user("Four?"),), answer, "", forced=True)
    assert '"city"' not in taught(encoder, made)
    for value in ("Oslo", "7", "true"):
        assert value in taught(encoder, made)


def test_every_dialogue_fits_the_context(encoder: Encoder) -> None:
    rng = random.Random(3)
    samples = [encoder.sample_of(dialogue(rng, Split.TRAIN)) for _ in range(500)]
    longest = sorted(len(sample.ids) for sample in samples)
    # This small tokenizer needs half as many tokens again as the real one.
    assert longest[int(len(longest) * 0.97)] <= LONGEST


def test_batches_hold_every_sample_once_in_rows_of_like_length(encoder: Encoder) -> None:
    rng = random.Random(4)
    samples = [encoder.sample_of(dialogue(rng, Split.TRAIN)) for _ in range(40)]
    batches = batched(samples, 2000)
    assert sum(len(batch.targets) for batch in batches) == sum(sum(one.taught) for one in samples)
    assert all(batch.ids.numel() <= 2000 or len(batch.ids) == 2 for batch in batches)
    lengths = [batch.ids.shape[1] for batch in batches]
    assert lengths == sorted(lengths, reverse=True)


def test_targets_follow_the_tokens_that_they_are_read_from(encoder: Encoder) -> None:
    sample = encoder.sample_of(Dialogue("s", "k", TURNS, "Five.", "Six."))
    batch = batch_of([sample, sample])
    flat = batch.ids.flatten()
    assert torch.equal(flat[batch.where + 1], batch.targets)


def test_what_a_step_reads_depends_on_seed_and_number_alone(encoder: Encoder) -> None:
    one, other = (step_batches(encoder, 1, 5, 1500, 600) for _ in range(2))
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(one, other, strict=True))
    assert not torch.equal(step_batches(encoder, 1, 6, 1500, 600)[0].ids, one[0].ids)


def test_a_resumed_training_is_the_undisturbed_one(encoder: Encoder, tmp_path: Path) -> None:
    with training(encoder) as trainer:
        for _ in range(3):
            trainer.step()
        trainer.save(tmp_path / "checkpoint.pt")
        for _ in range(3):
            trainer.step()
        undisturbed = weights(trainer)
    with training(encoder) as trainer:
        trainer.resume(tmp_path / "checkpoint.pt")
        assert trainer.done == 3
        for _ in range(3):
            trainer.step()
        resumed = weights(trainer)
    for name, weight in undisturbed.items():
        torch.testing.assert_close(resumed[name], weight, rtol=0, atol=0, msg=name)


def test_how_many_threads_there_are_changes_nothing(encoder: Encoder) -> None:
    results = []
    for threads in (1, 3):
        with training(encoder, threads) as trainer:
            trainer.step()
            trainer.step()
            results.append(weights(trainer))
    for name, weight in results[0].items():
        torch.testing.assert_close(results[1][name], weight, rtol=0, atol=0, msg=name)


def test_the_loss_falls(encoder: Encoder) -> None:
    with training(encoder) as trainer:
        losses = [trainer.step()[0] for _ in range(RECIPE.rates.steps)]
    assert losses[-1] < losses[0]


def test_the_network_is_qwen3() -> None:
    torch.manual_seed(0)
    network = Network(SHAPE)
    config = Qwen3Config.from_dict({**hugging_face_config(SHAPE, 1, 0), "dtype": "float32"})
    theirs = Qwen3ForCausalLM(config).eval()  # type: ignore[no-untyped-call]
    missing = theirs.load_state_dict(network.state_dict(), strict=False)
    assert missing.missing_keys == ["lm_head.weight"]  # tied
    assert missing.unexpected_keys == []
    ids = torch.randint(0, SHAPE.vocab_size, (2, 37))
    with torch.no_grad():
        torch.testing.assert_close(network.logits(network(ids)), theirs(ids).logits)


def test_the_rate_goes_from_turn_to_turn_in_straight_lines() -> None:
    turns = ((0, 0.5), (1, 1.0), (5, 0.2))
    assert [rate(step, turns) for step in range(7)] == pytest.approx(
        [0.5, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2]
    )


def test_a_curve_is_drawn_from_high_to_low() -> None:
    curve = Curve(100)
    for step in range(100):
        curve.add(step, 4.0 / (step + 1))
    lines = curve.drawn().splitlines()
    assert lines[0].endswith("|*")
    assert lines[-1].strip() == "step 0 to 99"
    assert "step 100/100  loss 0.0" in curve.line(100, 1000, 60.0)
