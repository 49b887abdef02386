"""A trace by what the user calls it: a file, or a description of one to be made up."""

from pathlib import Path

from baton.cluster.traces.files import read_trace
from baton.cluster.traces.synthetic import KINDS, make_trace
from baton.cluster.traces.trace import Trace
from baton.core.errors import SettingsError


def load_trace(name: str, seed: int) -> Trace:
    """`seed` is of what is made up. Raises SettingsError."""
    if name.partition(":")[0] in KINDS:
        return make_trace(name, seed)
    path = Path(name)
    if not path.exists():
        kinds = ", ".join(f"{kind}:" for kind in KINDS)
        raise SettingsError(f"there is no trace {name}: neither a file nor one of {kinds}")
    return read_trace(path)
