"""A turn of the assistant as a chat tells it, put so that its parts can follow each other."""

from dataclasses import replace

from baton.core.errors import InternalError
from gateway.translations.chat_pieces import Chunk, Piece, piece_of


class Turn:
    """Text that comes once a call has begun waits for the end: within one step a chat tells text
    before calls, whichever came first, so it must not cut a call in two.
    """

    def __init__(self) -> None:
        self.late = ""  # text that waits
        self.has_calls = False
        self.finish: str | None = None

    def next(self, chunk: Chunk) -> Piece | None:
        """Without text that waits. None for a chunk that has only the usage."""
        piece = piece_of(chunk)
        if piece is None:
            return None
        self.finish = piece.finish_reason or self.finish
        if self.has_calls:
            self.late += piece.content
            piece = replace(piece, content="")
        self.has_calls = self.has_calls or bool(piece.calls)
        return piece

    def check_finished(self) -> None:
        """Raises InternalError for a chat that did not come to an end."""
        if self.finish not in ("stop", "length", "tool_calls"):
            raise InternalError(f"the chat inside ended with {self.finish}")
