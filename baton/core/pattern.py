"""Regular expressions that an operator gives."""

import re

from baton.core.errors import SettingsError


def check_pattern(pattern: str, flag: str) -> None:
    """Raises SettingsError where `pattern` is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise SettingsError(f"{flag} {pattern} is no regular expression: {error}") from error
