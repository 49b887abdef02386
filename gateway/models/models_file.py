"""The file of --models-file: models beside the one that the flags tell of, by the flags' own names."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baton.core.errors import SettingsError
from baton.settings import flag_of, given, settings_of

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings

KEY = "models"

# What a model is. How the API behaves is for all models of a gateway, and told by flags alone.
OF_A_MODEL = (
    *("model", "revision", "tokenizer", "served_model_name"),
    *("generation_config", "override_generation_config"),
    *("chat_template", "chat_template_content_format", "default_chat_template_kwargs"),
    *("exclude_tools_when_tool_choice_none", "response_role"),
    *("reasoning_parser", "tool_call_parser", "structured_outputs_config"),
)

Entry = dict[str, Any]  # by the fields' names


def entries_of(file: str, kind: type[Any], keys: Iterable[str]) -> list[Entry]:
    """`file`: its name, or its text, which begins with a brace. `keys`: those settings of `kind` that a
    model has. Raises SettingsError with the path to what is wrong.
    """
    wanted = set(keys)
    known = [one for one in settings_of(kind) if one.name in wanted]
    # Here, because only those who have a file wait for what reads it.
    from baton.settings.entries import EntryError, read_entries

    shown = "" if file.startswith("{") else f" {file}"
    try:
        entries = read_entries(_text_of(file), KEY, known, settings_of(kind))
        for index, entry in enumerate(entries):
            if not entry.get("model"):
                raise EntryError(f"{KEY}[{index}].model is missing: a folder or a hub id")
    except EntryError as error:
        raise SettingsError(f"--models-file{shown}: {error}") from error
    return entries


def as_text(entries: Sequence[Mapping[str, Any]]) -> str:
    """What `entries_of` reads again; empty for no entry."""
    if not entries:
        return ""
    named = [{name.replace("_", "-"): v for name, v in entry.items()} for entry in entries]
    return json.dumps({KEY: named})


def settings_for(entry: Entry, settings: "GatewaySettings") -> "GatewaySettings":
    """What the gateway is told of this model: nothing of what the flags say of theirs."""
    told = _defaults(type(settings))
    told |= {name: value for name, value in entry.items() if name in OF_A_MODEL}
    hub = replace(settings.hub, revision=told.pop("revision", ""))
    return replace(settings, **told, hub=hub, models_file="")


def located(entry: Entry, found: "GatewaySettings") -> Entry:
    """The entry with what is on this machine, by the settings that were made of it and located."""
    kept = {name: value for name, value in entry.items() if name != "revision"}
    at = {"model": found.model, "served_model_name": found.served_names}
    return kept | at | ({"tokenizer": found.tokenizer} if found.tokenizer else {})


def check_unsaid(settings: object, keys: Iterable[str]) -> None:
    """Raises SettingsError where a flag tells of a model that is not named by --model."""
    wanted = set(keys)
    for spec, _ in given(settings):
        if spec.name in wanted:
            raise SettingsError(
                f"{flag_of(spec)} tells of the model that --model names, and there is none: the "
                "models of --models-file have a key for it"
            )


def check_names(models: Iterable[Sequence[str]]) -> None:
    """Of each model its names. Raises SettingsError for one that two of them have."""
    taken: set[str] = set()
    for names in models:
        for name in names:
            if name in taken:
                raise SettingsError(
                    f"--models-file: {name} is the name of two models; give one of them another "
                    "served-model-name"
                )
        taken.update(names)


def _text_of(file: str) -> str:
    if file.startswith("{"):
        return file
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"cannot read --models-file {file}: {reason}") from error


def _defaults(kind: type[Any]) -> dict[str, Any]:
    kept = {"model", "revision"}  # the one is told, the other lies deeper
    return {
        one.name: one.default
        for one in settings_of(kind)
        if one.name in OF_A_MODEL and one.name not in kept
    }
