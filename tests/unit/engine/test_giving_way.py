"""Less urgent answers give their blocks to a more urgent reservation, and nobody can see it after."""

from dataclasses import replace

from baton.core.room import ABOVE_ALL
from baton.engine.blocks.reservation import Reservation
from baton.engine.work import Work
from tests.support.engine_bench import Bench, assert_answers, bench
from tests.support.engine_works import generate, prefill, prompt_of, sampled

PARAMS = sampled(12)


def work(key: str, priority: int, length: int = 6) -> Work:
    return replace(generate(key, prompt_of(length, ord(key)), PARAMS), priority=priority)


def reserved(made: Bench, count: int, priority: int) -> Reservation | None:
    """As a worker reserves."""
    got: list[Reservation] = []

    def take() -> bool:
        reservation = made.blocks.reserve(count)
        if reservation is not None:
            got.append(reservation)
        return reservation is not None

    assert made.core.make_room(priority, count, take) is bool(got)
    return got[0] if got else None


def writing(made: Bench) -> set[str]:
    return {sequence.key for sequence in made.scheduler.sequences if sequence.writes}


def running(made: Bench, *works: Work, steps: int = 4) -> None:
    for one in works:
        made.submit(one)
    for _ in range(steps):
        made.step()


def test_the_worst_gives_way_and_its_answer_is_what_it_would_have_been() -> None:
    for caching in (False, True):
        with bench(num_blocks=9, caching=caching) as made:
            works = [work("a", 0), work("b", 5), work("c", 9)]
            running(made, *works)  # three blocks each
            assert made.scheduler.yielding == ((0, 3), (5, 3), (9, 3))
            reservation = reserved(made, 3, priority=-1)
            assert reservation is not None
            made.step()
            assert writing(made) == {"a", "b"}
            assert made.scheduler.lacks == 9
            reservation.cancel()
            made.run()
            for one in works:
                assert_answers(made, one.key, one.prompt, one.params)
            made.blocks.check_integrity()


def test_nobody_gives_way_to_an_equal_or_where_it_would_not_suffice() -> None:
    with bench(num_blocks=9) as made:
        running(made, work("a", 0), work("b", 0), work("c", 9))
        before = [tuple(s.blocks) for s in made.scheduler.sequences]
        assert reserved(made, 3, priority=9) is None
        assert reserved(made, 4, priority=0) is None
        assert [tuple(s.blocks) for s in made.scheduler.sequences] == before


def test_where_there_is_room_nobody_gives_way() -> None:
    with bench(num_blocks=12) as made:
        running(made, work("a", 5))
        reservation = reserved(made, 9, priority=0)
        assert reservation is not None
        assert made.scheduler.yielding == ((5, 3),)
        reservation.cancel()


def test_each_gives_way_once() -> None:
    """Or a stream of urgent requests would have it compute the same again and again."""
    with bench(num_blocks=9) as made:
        patient = work("a", 5)
        running(made, patient)
        first = reserved(made, 8, priority=0)
        assert first is not None
        first.cancel()
        for _ in range(3):
            made.step()
        assert made.scheduler.yielding == ()
        assert reserved(made, 8, priority=0) is None
        made.run()
        assert_answers(made, "a", patient.prompt, patient.params)


def test_a_prompt_that_lends_and_an_aged_answer_do_not_give_way() -> None:
    with bench(num_blocks=6) as made:
        running(made, replace(prefill("p", prompt_of(8), PARAMS), priority=5), steps=1)
        running(made, work("a", 7))
        for sequence in made.scheduler.sequences:
            sequence.aged = sequence.key == "a"
        assert made.scheduler.yielding == ()
        assert reserved(made, 5, priority=0) is None


def test_while_an_aged_answer_lacks_blocks_nobody_is_more_urgent() -> None:
    with bench(num_blocks=6) as made:
        running(made, work("a", 5))
        reservation = reserved(made, 6, priority=0)
        assert reservation is not None
        [sequence] = made.scheduler.sequences
        sequence.aged = True
        made.step()
        assert made.scheduler.lacks == ABOVE_ALL
        reservation.cancel()
        made.run()
        assert made.scheduler.lacks is None


def test_in_a_stream_of_urgent_reservations_everybody_comes_to_the_end() -> None:
    with bench(num_blocks=9, caching=True) as made:
        patient = [work(key, 5) for key in "abc"]
        running(made, *patient)
        for number in range(60):
            reservation = reserved(made, 6, priority=0)
            made.step()
            if reservation is not None:
                reservation.cancel()
                urgent = generate(f"u{number}", prompt_of(5, number), sampled(3))
                made.submit(urgent)
        made.run()
        for one in patient:
            assert_answers(made, one.key, one.prompt, one.params)
