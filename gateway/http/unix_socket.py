"""Listening on a path instead of a port: only what may reach the file can ask."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from baton.core.errors import SettingsError


@contextmanager
def unix_listener(path: str, backlog: int) -> Iterator[socket.socket]:
    """A listening socket whose file is gone afterwards. One that a killed process left behind is
    replaced. Raises SettingsError when somebody listens there, or something else is there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            _bind(listener, path)
            listener.listen(backlog)
        except OSError as error:
            reason = error.strerror or str(error)
            raise SettingsError(f"cannot listen on --uds {path}: {reason}") from error
        ours = os.stat(path).st_ino
        listener.setblocking(False)
        try:
            yield listener
        finally:
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == ours:
                    os.unlink(path)


def _bind(listener: socket.socket, path: str) -> None:
    try:
        listener.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise SettingsError(f"--uds {path} is there already and is no socket") from error
        if _answers(path):
            raise SettingsError(f"--uds {path}: somebody listens there already") from error
        os.unlink(path)
        listener.bind(path)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
    return True
