"""Where a model comes from: a folder of this machine, or a repository of a Hugging Face hub.

The only place that knows hubs. Without torch, for the gateway needs configuration and tokenizer.
"""

from baton.model_source.checkpoint_digest import digest_of_files
from baton.model_source.resolve import Part, resolve, revision_of
from baton.model_source.settings import HubSettings
from baton.model_source.weight_files import read_json

__all__ = ["HubSettings", "Part", "digest_of_files", "read_json", "resolve", "revision_of"]
