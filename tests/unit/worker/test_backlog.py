"""How many tokens wait to be computed."""

from baton.engine.work import Admitted, ChunkComputed, TokensDrawn
from baton.worker.backlog import Backlog


def test_what_is_computed_or_has_left_no_longer_waits() -> None:
    backlog = Backlog()
    with backlog.reading("a", 100) as note, backlog.reading("b", 50) as other:
        assert backlog.tokens == 150
        note(Admitted(16))
        note(ChunkComputed(16))  # it was cached
        assert backlog.tokens == 134
        note(ChunkComputed(100))
        other(ChunkComputed(20))
        assert backlog.tokens == 30
    assert backlog.tokens == 0
    note(ChunkComputed(10))
    assert backlog.tokens == 0


def test_a_prompt_whose_answer_is_written_here_is_read_with_its_first_token() -> None:
    backlog = Backlog()
    with backlog.reading("a", 100) as note:
        note(Admitted(64))
        assert backlog.tokens == 36
        note(TokensDrawn(()))
        assert backlog.tokens == 0
