"""A real byte-level BPE tokenizer with a ChatML template, trained on the standard library's text."""

import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [PAD, START, END]
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def train_tokenizer(vocab_size: int, *, max_chars: int, max_length: int) -> PreTrainedTokenizerFast:
    """Exactly `vocab_size` tokens: what the text does not give is filled up with added ones.

    The same text gives the same tokenizer; another Python version has another text.
    """
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(_texts(max_chars), trainer)
    bare.add_tokens([f"<|extra_{i}|>" for i in range(vocab_size - bare.get_vocab_size())])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bare,
        eos_token=END,
        pad_token=PAD,
        bos_token=None,
        model_max_length=max_length,
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
    )


def _texts(max_chars: int) -> Iterator[str]:
    """Files of the standard library, mixed the same way each time, until `max_chars` are reached."""
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(f for f in root.rglob("*.py") if "site-packages" not in f.parts)
    random.Random(0).shuffle(files)
    total = 0
    for file in files:
        if total >= max_chars:
            return
        text = file.read_text(encoding="utf-8", errors="ignore")
        total += len(text)
        yield text
