"""Downloads from a Hugging Face hub into its cache; nobody else asks a hub."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: of its HTTP client
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from baton.core.errors import SettingsError
from baton.model_source.progress import progress_of
from baton.model_source.resolve import Part
from baton.model_source.settings import HubSettings

# What a folder is read for. Neither pickled weights nor those in another framework's format.
TEXT_FILES = (
    *("config.json", "generation_config.json", "chat_template.jinja"),
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json"),
    *("preprocessor_config.json", "processor_config.json"),
)
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
NOT_WANTED = ("*/*", "consolidated*")  # other formats of the same weights


def download(model: str, hub: HubSettings, part: Part, say: Callable[[str], None]) -> Path:
    """The snapshot's folder. Raises SettingsError with what to do about it."""
    wanted = TEXT_FILES + (WEIGHT_FILES if part is Part.ALL else ())
    stopping = threading.Event()
    with _ended_by_interrupt(stopping), _in_words(model, hub):
        folder = snapshot_download(
            model,
            revision=hub.revision or None,
            token=hub.hf_token or None,
            cache_dir=hub.download_dir or None,
            allow_patterns=list(wanted),
            ignore_patterns=list(NOT_WANTED),
            tqdm_class=progress_of(model, say, stopping, bars=sys.stderr.isatty()),
        )
    return Path(folder)


@contextmanager
def _in_words(model: str, hub: HubSettings) -> Iterator[None]:
    site = constants.ENDPOINT
    revision = hub.revision or "main"
    token = "the token given" if hub.hf_token else "anybody without a token"
    try:
        yield
    except GatedRepoError as error:
        raise SettingsError(
            f"{model} is gated, and {token} may not read it: accept its terms at {site}/{model} "
            "and set HF_TOKEN to a token of that account"
        ) from error
    except RepositoryNotFoundError as error:
        raise SettingsError(
            f"there is no folder {model} here, and {site} has no model {model} that {token} may "
            "read: check the name, or set HF_TOKEN if it is private"
        ) from error
    except RevisionNotFoundError as error:
        raise SettingsError(f"{model} has no revision {revision} at {site}") from error
    except LocalEntryNotFoundError as error:
        raise SettingsError(_offline(model, revision, site, hub, error)) from error
    except HFValidationError as error:
        raise SettingsError(f"--model {model}: no folder here, no name of a hub's model") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise SettingsError(
                f"{site} refuses {token} ({status}): set HF_TOKEN to a valid one"
            ) from error
        raise SettingsError(
            f"downloading {model} failed: {site} answered {status}; files that came whole "
            "are kept, start again for the others"
        ) from error
    except (HTTPError, OSError) as error:
        raise SettingsError(
            f"downloading {model} failed ({type(error).__name__}: {error}); files that came whole are "
            "kept, start again for the others"
        ) from error


def _offline(model: str, revision: str, site: str, hub: HubSettings, error: Exception) -> str:
    cache = hub.download_dir or constants.HF_HUB_CACHE
    why = f"{site} cannot be reached"
    if constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE forbids to ask for it"
    elif isinstance(error.__cause__, HfHubHTTPError):
        why = f"{site} answers {error.__cause__.response.status_code}"
    return (
        f"there is no folder {model} here, revision {revision} of the hub's model is not complete "
        f"in {cache}, and {why}: give the folder of a checkpoint, or start once with the network"
    )


@contextmanager
def _ended_by_interrupt(stopping: threading.Event) -> Iterator[None]:
    """The library's threads outlive a KeyboardInterrupt until their file is whole, unless told.
    Only the main thread gets one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(_number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():  # asked twice, while a thread waits for the network
            os._exit(130)
        stopping.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
