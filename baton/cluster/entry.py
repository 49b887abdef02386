"""The program `baton`, from its first moment. Imports nothing that takes time."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_quietly() -> Iterator[None]:
    """For imports: there is nothing to put in order yet, so Ctrl-C ends the process on the spot,
    without the traceback of whichever module was being read.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def main() -> None:
    with ending_quietly():
        from baton.cluster.cli import main as run
    run(prog_name="baton")


if __name__ == "__main__":
    main()
