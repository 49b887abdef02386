"""Programs that a test needs and that not every machine has."""

import os
import shutil

import pytest


def needed(program: str, package: str) -> str:
    """Its path. Without it the test is skipped, or fails where everything must be there.

    `package`: what to install.
    """
    path = shutil.which(program)
    if path is not None:
        return path
    reason = f"there is no {program} on this machine; install {package}"
    if os.environ.get("BATON_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
