"""Settings as frozen dataclasses; each field becomes a flag, an environment variable, a key of the
config file and a line of help.

A process declares `class GatewaySettings` with `setting(default, "help")` fields, puts
`@options(GatewaySettings)` over its click command and gets one validated object.
`--some-flag` is also `BATON_SOME_FLAG` and `some-flag:` in the file of `--config`; the flag wins,
then the variable, then the file.
"""

from baton.settings.as_words import as_environment, as_flags, given
from baton.settings.command import SettingsCommand
from baton.settings.field import (
    Setting,
    env_of,
    flag_of,
    nested,
    setting,
    settings_of,
    variables_of,
)
from baton.settings.options import CONFIG_VARIABLE, options

__all__ = [
    "CONFIG_VARIABLE",
    "Setting",
    "SettingsCommand",
    "as_environment",
    "as_flags",
    "env_of",
    "flag_of",
    "given",
    "nested",
    "options",
    "setting",
    "settings_of",
    "variables_of",
]
