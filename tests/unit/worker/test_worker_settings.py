"""What a worker refuses before it loads anything."""

from dataclasses import replace
from typing import Any

import pytest

from baton.core.errors import SettingsError
from baton.engine.machine.host_cores import available_cores
from baton.registry.redis_settings import RedisSettings
from baton.worker.settings import WorkerSettings


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("model", "", "--model is missing"),
        ("port", 65536, "--port must be between 0 and 65535"),
        ("metrics_port", -1, "--metrics-port must be between 0 and 65535"),
        ("advertise_port", 65536, "--advertise-port must be between 0 and 65535"),
        ("kv_port", -1, "--kv-port must be between 0 and 65535"),
        ("advertise_kv_port", -1, "--advertise-kv-port must be between 0 and 65535"),
        ("threads", 0, "--threads must be at least 1, not 0"),
        ("shutdown_seconds", -1.0, "--shutdown-seconds must be a number of seconds, 0 or more"),
        ("shutdown_seconds", float("nan"), "--shutdown-seconds must be"),
        ("kv_offloading_size", -0.5, "--kv-offloading-size must be a number of GiB, 0 or more"),
        ("kv_offloading_size", float("inf"), "--kv-offloading-size must be a number of GiB"),
        ("redis", RedisSettings(redis_url="there:6379"), "--redis-url must be one of redis://"),
        ("redis", RedisSettings(redis_url="redis://there", redis_prefix=""), "--redis-prefix must"),
        ("registry", "localhost", "--registry localhost must be HOST:PORT"),
        ("registry", ":9000", "--registry :9000 must be HOST:PORT"),
        ("registry", "localhost:99999", "--registry localhost:99999 must be HOST:PORT"),
        ("host", "0.0.0.0", "--advertise-host"),
        ("worker_id", "zone=a", "--worker-id 'zone=a' must be at most 256 characters without ="),
        ("labels", "zone", "--labels: 'zone' is not key=value"),
        ("labels", "zone=a,zone=b", "--labels: a label is named twice"),
        ("labels", "zone=a b", "--labels: 'a b' cannot be part of a label"),
        ("tensor_parallel_size", 2, "--tensor-parallel-size 2 is not supported yet"),
        ("tensor_parallel_size", 0, "--tensor-parallel-size must be at least 1, not 0"),
        ("enable_lora", True, "--enable-lora .* not supported yet: merge the adapter"),
        ("logits_processor_pattern", "(", "--logits-processor-pattern . is no regular expression"),
        ("device", "gpu", "--device 'gpu' is none of: auto, cpu, cuda, cuda:N"),
        ("gpu_memory_utilization", 0.0, "--gpu-memory-utilization must be above 0"),
        ("gpu_memory_utilization", 1.1, "--gpu-memory-utilization must be above 0"),
        ("cuda_graph_sizes", ("2", "x"), "--cuda-graph-sizes takes whole numbers, not 2, x"),
        ("cuda_graph_sizes", ("65",), "between 1 and --max-num-seqs .64., not 65"),
        ("kv_transfer_config", "{}", "a worker's role is its command"),
        ("lora_modules", ("a=b",), "--lora-modules are not supported yet"),
    ],
)
def test_a_wrong_value_is_one_sentence(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        WorkerSettings(**{"model": "some/folder", field: value}).check()


def test_host_memory_is_given_in_gib_and_needs_a_prefix_cache() -> None:
    assert WorkerSettings(kv_offloading_size=1.5).engine.kv_offloading_bytes == 3 << 29
    settings = WorkerSettings(model="m", kv_offloading_size=1.5, enable_prefix_caching=False)
    with pytest.raises(SettingsError, match=r"--kv-offloading-size .* --no-enable-prefix-caching"):
        settings.check()


def test_a_registry_may_have_a_name_or_an_address() -> None:
    for registry in ("127.0.0.1:9000", "gateway.internal:1", "[::1]:65535"):
        WorkerSettings(model="some/folder", registry=registry).check()


def test_two_registries_are_one_too_many() -> None:
    redis = RedisSettings(redis_url="redis://there")
    WorkerSettings(model="m", redis=redis).check()
    with pytest.raises(SettingsError, match="--registry and --redis-url"):
        WorkerSettings(model="m", redis=redis, registry="localhost:7000").check()


def test_a_worker_takes_the_cores_that_it_may_use_unless_told() -> None:
    assert WorkerSettings(model="m").engine.threads == available_cores()
    assert WorkerSettings(model="m", threads=3).engine.threads == 3


def test_the_promise_of_equal_bits_reaches_the_engine() -> None:
    assert WorkerSettings(model="m", batch_invariant=True).engine.batch_invariant


def test_what_weights_become_reaches_the_engine() -> None:
    assert WorkerSettings(model="m").engine.quantization == ""
    assert WorkerSettings(model="m", quantization="int8").engine.quantization == "int8"


def test_the_attention_backend_reaches_the_engine() -> None:
    assert WorkerSettings(model="m", attention_backend="torch").engine.attention_backend == "torch"


def test_the_device_and_what_belongs_to_it_reach_the_engine() -> None:
    made = WorkerSettings(
        model="m",
        device="cuda:1",
        gpu_memory_utilization=0.5,
        enforce_eager=True,
        cuda_graph_sizes=("4", "1"),
        async_scheduling="off",
    ).engine
    assert (made.device, made.gpu_memory_utilization) == ("cuda:1", 0.5)
    assert (made.enforce_eager, made.cuda_graph_sizes) == (True, (4, 1))
    assert made.async_scheduling == "off"


def test_a_pools_size_is_left_to_the_device_unless_it_is_given() -> None:
    assert WorkerSettings(model="m").engine.kv_cache_memory_bytes is None
    assert WorkerSettings(model="m").engine.pool_bytes == 1 << 30
    assert WorkerSettings(model="m", kv_cache_memory_bytes=5).engine.pool_bytes == 5


def test_an_encode_worker_refuses_the_flags_of_engines_by_name() -> None:
    plain = WorkerSettings(model="m", image_cache_memory_bytes=1 << 20, threads=2)
    plain.check_encoder()
    told = replace(plain, kv_cache_memory_bytes=1 << 20, batch_invariant=True)
    with pytest.raises(SettingsError, match="--kv-cache-memory-bytes, --batch-invariant"):
        told.check_encoder()
    assert told.without_engine() == plain
