"""What is learned of costs that are sums of parts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.placing.fit import Fit, non_negative
from gateway.placing.typical import Typical

PRIOR = (1e-2, 2e-4, 2e-7)


def sample(draw: random.Random, theta: tuple[float, ...]) -> tuple[tuple[float, ...], float]:
    x = (1.0, float(draw.randrange(1, 64)), float(draw.randrange(100, 100_000)))
    return x, sum(a * b for a, b in zip(x, theta, strict=True))


def fitted(theta: tuple[float, ...], count: int, noise: float = 0.0, wild: float = 0.0) -> Fit:
    draw, fit = random.Random(1), Fit(PRIOR)
    for _ in range(count):
        x, y = sample(draw, theta)
        y *= draw.uniform(1 - noise, 1 + noise)
        fit.add(x, y * 100 if draw.random() < wild else y)
    return fit


def worst(fit: Fit, theta: tuple[float, ...]) -> float:
    """Relative error of predictions."""
    draw = random.Random(2)
    errors = []
    for _ in range(200):
        x, y = sample(draw, theta)
        errors.append(abs(sum(a * b for a, b in zip(x, fit.theta, strict=True)) / y - 1))
    return max(errors)


def test_parts_are_found_exactly_where_there_is_no_noise() -> None:
    theta = (3e-3, 5e-4, 1e-8)
    assert fitted(theta, 300).theta == pytest.approx(theta, rel=0.1)
    assert worst(fitted(theta, 300), theta) < 0.01


@pytest.mark.parametrize("level", [1e-4, 1.0, 1e4])
def test_a_prior_needs_no_right_level(level: float) -> None:
    theta = tuple(level * part for part in PRIOR)
    fit = fitted(theta, 1)
    assert fit.theta == pytest.approx(theta, rel=1e-6), "one sample is enough"


def test_what_no_sample_shows_is_as_in_the_prior_at_their_level() -> None:
    fit = Fit((1.0, 2.0))
    for _ in range(50):
        fit.add((1.0, 0.0), 10.0)
    assert fit.theta == pytest.approx((10.0, 20.0))


def test_noise_and_wild_values_move_it_little() -> None:
    theta = (3e-3, 5e-4, 1e-7)
    assert worst(fitted(theta, 300, noise=0.2), theta) < 0.15
    assert worst(fitted(theta, 300, noise=0.2, wild=0.05), theta) < 0.2


def test_a_speed_that_drifts_is_followed() -> None:
    draw, fit = random.Random(3), Fit(PRIOR)
    for _ in range(200):
        fit.add(*sample(draw, PRIOR))
    slower = tuple(2 * part for part in PRIOR)
    for _ in range(200):
        fit.add(*sample(draw, slower))
    assert worst(fit, slower) < 0.1


@given(
    st.lists(
        st.tuples(
            st.tuples(st.floats(0, 10), st.floats(0, 100), st.floats(0, 1e6)), st.floats(0, 100)
        ),
        max_size=40,
    )
)
def test_no_part_is_ever_negative(samples: list[tuple[tuple[float, ...], float]]) -> None:
    fit = Fit(PRIOR)
    for x, y in samples:
        fit.add(x, y)
        assert all(0 <= part < float("inf") for part in fit.theta)


def test_a_part_that_would_be_negative_is_nothing_and_the_rest_is_solved_again() -> None:
    assert non_negative([[1.0, 0.5], [0.5, 1.0]], [1.0, 0.0]) == [1.0, 0.0]
    assert non_negative([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0]) == [0.5, 0.25]


def test_the_typical_is_near_the_median_whatever_the_wild_ones_are() -> None:
    draw, typical = random.Random(4), Typical(1.0)
    for _ in range(500):
        typical.add(1000.0 if draw.random() < 0.1 else draw.uniform(0.08, 0.12))
    assert 0.08 < typical.value < 0.13
