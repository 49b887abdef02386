"""Two real models that one cluster serves, as `--models-file` has it."""

from pathlib import Path
from typing import Any

from tests.support.gateway_tokenizer import CHATML, write_tokenizer
from tests.support.models import make_llama, make_qwen3

SHOUT = {"default_chat_template_kwargs": '{"shout": true}'}
_FILE = """
models:
  - model: {model}
    served-model-name: [second, org/second]
    default-chat-template-kwargs: {{shout: true}}
    decode-workers: {decode}
    kv-cache-memory-bytes: 16MiB
    max-model-len: 512
"""


def make_first(folder: Path) -> Path:
    made = make_llama(folder)
    write_tokenizer(made, CHATML)
    return made


def make_second(folder: Path) -> Path:
    """Of another architecture and vocabulary than the other one, with a template that can shout."""
    made = make_qwen3(folder)
    write_tokenizer(made, CHATML + "{% if shout %}AH{% endif %}", ["<|more|>"])
    return made


def models_file(folder: Path, second: Path, decode: int) -> Path:
    """Of the second one, with so many decode workers."""
    file = folder / "models.yaml"
    file.write_text(_FILE.format(model=second, decode=decode))
    return file


def pool(secret: str) -> dict[str, Any]:
    return {"kv_cache_memory_bytes": "16MiB", "cluster_secret": secret}
