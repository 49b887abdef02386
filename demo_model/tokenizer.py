"""The tokenizer: byte-level BPE after Qwen's fashion, trained on the generator's own dialogues."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from demo_model.composer import dialogue
from demo_model.exchange import Dialogue
from demo_model.shape import CONTEXT
from demo_model.split import Split

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MARKUP = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
# Each digit alone, a word with the space before it, runs of signs with the line end after them.
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DIALOGUES = 30_000
_TOOLS = """# Tools

You may call these functions:
<tools>
</tools>

To call one, write:
{"name": NAME, "arguments": ARGUMENTS}
"""
TEMPLATE = Path(__file__).parent.parent / "baton" / "demo" / "chat_template.jinja"


def train_tokenizer(
    vocab_size: int, seed: int, dialogues: int = _DIALOGUES
) -> PreTrainedTokenizerFast:
    """Exactly `vocab_size` tokens; the same for the same seed."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKUP),
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(_texts(seed, dialogues), trainer)
    bare.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKUP])
    if bare.get_vocab_size() != vocab_size:
        raise ValueError(f"the dialogues give {bare.get_vocab_size()} tokens, not {vocab_size}")
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bare,
        eos_token=END,
        pad_token=PAD,
        bos_token=None,
        model_max_length=CONTEXT,
        chat_template=TEMPLATE.read_text("utf-8"),
        clean_up_tokenization_spaces=False,
    )


def _texts(seed: int, dialogues: int) -> Iterator[str]:
    rng = random.Random(f"tokenizer|{seed}")
    for _ in range(dialogues):
        yield from _parts(dialogue(rng, Split.TRAIN))


def _parts(made: Dialogue) -> Iterator[str]:
    for message in made.messages:
        yield f"{message['role']}\n"
        yield message["content"]
    yield "assistant\n"
    yield "\n\n"
    yield made.completion
    for tool in made.tools:
        yield json.dumps(tool)
    if made.tools:
        yield _TOOLS
