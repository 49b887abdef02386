"""The certificate of a running process, whose files may be replaced meanwhile."""

import logging
import threading

from baton.core.errors import SettingsError
from baton.rpc.tls_files import Pem, TlsFiles

logger = logging.getLogger(__name__)


class TlsIdentity:
    """May be asked from any thread. Raises SettingsError where the files do not fit at the start."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._pem = files.read()
        self._said = ""

    def pem(self) -> Pem:
        """As the files are now. Where they do not fit together, as in the middle of their
        replacement, it is as they were; each reason is said once.
        """
        with self._lock:
            try:
                pem = self._files.read(known=self._pem)
            except SettingsError as error:
                self._say(logging.WARNING, f"the TLS files of before stay in use: {error}")
                return self._pem
            if pem != self._pem:
                self._say(logging.INFO, "new TLS files are in use for new connections")
            self._pem, self._said = pem, ""
            return pem

    def _say(self, level: int, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            logger.log(level, sentence)
