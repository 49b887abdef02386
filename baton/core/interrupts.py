"""Ctrl-C and its kin, for every process that serves: once to stop, twice to stop now."""

import asyncio
import signal


class Interrupts:
    """`stop` is set by the first SIGINT, SIGTERM or SIGHUP (its terminal was closed), `hurry` by
    the second.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    def listen(self) -> None:
        """From now on, on the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._heard)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: the terminal may go
            loop.add_signal_handler(signal.SIGHUP, self._heard)

    def _heard(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()


def still_running(requests: int) -> str:
    """What to say to whoever has just asked a busy process to stop."""
    running = "1 request is" if requests == 1 else f"{requests} requests are"
    return f"stopping: {running} still running; Ctrl-C again ends them now"
