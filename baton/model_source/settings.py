"""How a hub is asked for a model."""

from dataclasses import dataclass

from baton.settings import setting


@dataclass(frozen=True, slots=True)
class HubSettings:
    revision: str = setting(
        "", "Branch, tag or commit of a model that --model names by its hub id (default: main)."
    )
    hf_token: str = setting(
        "",
        "Token for gated and private models; rather set HF_TOKEN, which no process list shows.",
        secret=True,
        env=("HF_TOKEN",),
    )
    download_dir: str = setting("", "Where models are kept (default: Hugging Face's own cache).")
