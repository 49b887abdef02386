"""What a step on a device is measured against."""

from benchmarks.engine import Case, Weights
from benchmarks.engine_device import DeviceLimits, device_limit, shape_of

LIMITS = DeviceLimits(bytes_per_second=1000.0, operations_per_second=500.0)
WEIGHTS = Weights(bytes=400, layers=300)


def test_decode_reads_weights_and_kv_once() -> None:
    case = Case("", sequences=2, rows=1, past=31)

    assert device_limit(case, 160, WEIGHTS, LIMITS) == (400 + 2 * 32 * 10) / 1000


def test_a_prompt_multiplies_by_the_layers_weights() -> None:
    case = Case("", sequences=1, rows=5, past=100)

    assert device_limit(case, 160, WEIGHTS, LIMITS) == 2 * 300 * 5 / 500


def test_the_largest_shape_has_8_billion_parameters() -> None:
    shape = shape_of("8b")
    attention = shape.hidden_size * shape.head_dim * (32 + 8) * 2
    gated = 3 * shape.hidden_size * shape.intermediate_size
    embeddings = 2 * shape.vocab_size * shape.hidden_size
    assert 8.0e9 < 32 * (attention + gated) + embeddings < 8.1e9
