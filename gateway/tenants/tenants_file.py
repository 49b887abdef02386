"""The file of --tenants-file: who may ask, and how much."""

from pathlib import Path
from typing import Any

import yaml

from baton.core.errors import SettingsError
from gateway.tenants.entry import Entry, WrongEntry, read_entry
from gateway.tenants.tenant import Known


def read_tenants(path: Path) -> dict[str, Known]:
    """By the SHA-256 of a key, hex. Raises SettingsError with the path to what is wrong."""
    entries = read_entries(path, "--tenants-file ")
    return {digest: entry.known for entry in entries for digest in entry.digests}


def read_entries(path: Path, flag: str = "") -> list[Entry]:
    """`flag` begins a complaint. Raises SettingsError with the path to what is wrong."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise SettingsError(f"{flag}{path} cannot be read: {reason}") from error
    try:
        return _entries(content)
    except WrongEntry as error:
        raise SettingsError(f"{flag}{path}: {error}") from error


def _entries(content: Any) -> list[Entry]:
    if not isinstance(content, dict) or content.keys() != {"tenants"}:
        raise WrongEntry("the file", "must have one key, `tenants:`, with a list below it")
    tenants = content["tenants"]
    if not isinstance(tenants, list) or not tenants:
        raise WrongEntry("tenants", "must be a list of at least one tenant")
    found: dict[str, Entry] = {}
    taken: set[str] = set()
    for index, said in enumerate(tenants):
        place = f"tenants[{index}]"
        entry = read_entry(said, place, taken)
        name = entry.tenant.name
        if name in found:
            raise WrongEntry(f"{place}.name", f"{name!r} is another tenant's as well")
        found[name] = entry
        taken.update(entry.digests)
    return [*found.values()]
