"""What both machines share: a move that the design rules out raises and tells the story."""

from collections import deque

from baton.core.errors import InternalError

REMEMBERED = 32  # events kept for the story


class IllegalMoveError(InternalError):
    """`story` is what the machine was told before, oldest first."""

    def __init__(self, message: str, story: tuple[str, ...]) -> None:
        super().__init__(f"{message}; before that: {' > '.join(story) or 'nothing'}")
        self.story = story


class Story:
    """The last events of one machine, without their payload."""

    def __init__(self) -> None:
        self._events: deque[str] = deque(maxlen=REMEMBERED)

    def add(self, event: object, state: str) -> None:
        self._events.append(f"{type(event).__name__} in {state}")

    def illegal(self, message: str) -> IllegalMoveError:
        return IllegalMoveError(message, tuple(self._events))
