"""One tree of errors for all processes; `baton.rpc` maps it to gRPC status, the gateway to HTTP.

BatonError
├── RequestError        the caller's fault; names the field
│   └── NotFoundError   no such model, request or worker
├── RefusedError        this worker cannot take the request now; another may
├── UnavailableError    a worker or link is gone; the request may be placed again
├── TransferError       a hand-off ended without usable bytes
├── InternalError       a defect on our side
└── SettingsError       a flag or file stops the start
"""


class BatonError(Exception):
    """Base of every error raised on purpose. `str(error)` is a sentence for the reader."""


class RequestError(BatonError):
    """The request cannot be served as written.

    `param` is the name of the one field at fault, None when several are.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class NotFoundError(RequestError):
    """The request names something that does not exist."""


class RefusedError(BatonError):
    """The worker is full or draining: nothing was started, placing elsewhere is safe."""


class UnavailableError(BatonError):
    """The other side is gone or never came: placing elsewhere is safe while nothing was streamed."""


class TransferError(BatonError):
    """The hand-off was aborted, expired or found inconsistent; no byte of it may be used."""


class InternalError(BatonError):
    """Something happened that the design rules out."""


class SettingsError(BatonError):
    """A setting is wrong; the message says which and what to do."""
