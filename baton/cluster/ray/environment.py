"""What must hold before Ray is imported: that it is there, and what its environment tells it."""

import importlib.util
import os
import secrets

from baton.core.errors import SettingsError


def prepare(own: bool) -> None:
    """`own`: a Ray is going to be started here, for us alone. Raises SettingsError.

    Ray listens on every interface, whatever address it is given, so a Ray of our own has a token of
    its own; its processes inherit it from this one.
    """
    if importlib.util.find_spec("ray") is None:
        raise SettingsError(
            "--orchestrator ray needs Ray, which is not installed: pip install 'baton-serving[ray]'"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would tell its makers what it is used for
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")  # of lines that Ray prints among ours
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"  # gRPC's handlers disturb starting processes
    if own:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
        os.environ.pop("RAY_ADDRESS", None)
