"""How the processes of a cluster are started."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from baton.cluster.child_process import Command
from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.up_settings import UpSettings
from baton.core.errors import SettingsError
from baton.core.worker_info import Role
from baton.engine.machine.visible_gpus import visible_gpus
from baton.registry.redis_settings import RedisSettings
from baton.worker.settings import WorkerSettings
from gateway.settings import GatewaySettings
from tests.support.certificates import make_authority

SECRET = "5ec2e7"


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text("{}")
    return str(tmp_path)


def plan(
    settings: UpSettings, environ: Mapping[str, str] | None = None, cores: int = 8
) -> LaunchPlan:
    return LaunchPlan(settings, SECRET, environ or {}, cores, "text")


def named(model: str) -> UpSettings:
    return UpSettings(model=model, gateway=GatewaySettings(served_model_name=("a", "b")))


def flag(command: Command, name: str) -> str:
    return command.argv[command.argv.index(name) + 1]


def test_workers_are_named_by_role_and_number(model: str) -> None:
    workers = plan(UpSettings(model=model, prefill_workers=2)).workers()
    assert workers == [
        ("prefill-0", Role.PREFILL),
        ("prefill-1", Role.PREFILL),
        ("decode-0", Role.DECODE),
    ]


@pytest.mark.parametrize(
    ("role", "command_name"), [(Role.PREFILL, "prefill"), (Role.DECODE, "decode")]
)
def test_a_worker_is_told_its_name_model_and_registry(
    model: str, role: Role, command_name: str
) -> None:
    settings = UpSettings(
        model=model, worker=WorkerSettings(max_num_seqs=4, kv_offloading_size=0.5)
    )
    command = plan(settings).worker("w-0", role, "127.0.0.1:77", 0)
    assert command.argv[1:4] == ("-m", "baton.cluster.entry", command_name)
    assert flag(command, "--worker-id") == "w-0"
    assert flag(command, "--model") == flag(command, "--served-model-name") == model
    assert flag(command, "--registry") == "127.0.0.1:77"
    assert flag(command, "--max-num-seqs") == "4"
    assert flag(command, "--kv-offloading-size") == "0.5"
    assert flag(command, "--log-level") == "warning"


def test_workers_call_the_model_in_their_metrics_what_the_gateway_does(model: str) -> None:
    settings = UpSettings(model=model, gateway=GatewaySettings(served_model_name=("a", "b")))
    command = plan(settings).worker("w-0", Role.DECODE, "127.0.0.1:77", 0)
    assert flag(command, "--served-model-name") == "a"


def test_with_redis_all_meet_there_and_its_password_is_on_no_command_line(model: str) -> None:
    redis = RedisSettings(redis_url="redis://:pass@there", redis_prefix="blue")
    settings = UpSettings(
        model=model, gateway=GatewaySettings(redis=redis), worker=WorkerSettings(redis=redis)
    )
    for command in (
        plan(settings).gateway(8123, 8124),
        plan(settings).worker("w-0", Role.DECODE, "127.0.0.1:77", 0),
    ):
        assert not any(word.startswith("--registry") or "pass" in word for word in command.argv)
        assert flag(command, "--redis-prefix") == "blue"
        assert command.env["BATON_REDIS_URL"] == "redis://:pass@there"


def test_the_gateway_gets_its_ports_back(model: str) -> None:
    command = plan(named(model)).gateway(8123, 8124)
    assert command.argv[1:3] == ("-m", "gateway")
    assert flag(command, "--port") == "8123"
    assert flag(command, "--registry-port") == "8124"
    assert command.argv.count("--served-model-name") == 2


def test_the_gateway_is_told_its_limits(model: str) -> None:
    settings = UpSettings(
        model=model, gateway=GatewaySettings(max_queued_requests=3, strict_fields=True)
    )
    command = plan(settings).gateway(0, 0)
    assert flag(command, "--max-queued-requests") == "3"
    assert "--strict-fields" in command.argv
    assert "--max-queue-seconds" not in command.argv


def test_the_secret_is_in_the_environment_and_on_no_command_line(model: str) -> None:
    launch = plan(UpSettings(model=model))
    commands = [launch.gateway(1, 2), launch.worker("decode-0", Role.DECODE, "r:1", 0)]
    for command in commands:
        assert command.env["BATON_CLUSTER_SECRET"] == SECRET
        assert not any(SECRET in word for word in command.argv)


def test_api_keys_reach_only_the_gateway_and_only_by_its_environment(model: str) -> None:
    launch = plan(UpSettings(model=model, gateway=GatewaySettings(api_key=("key-1", "key-2"))))
    gateway, worker = launch.gateway(1, 2), launch.worker("d", Role.DECODE, "r:1", 0)
    assert gateway.env["BATON_API_KEY"] == '["key-1", "key-2"]'
    assert not any("key-" in word for word in [*gateway.argv, *worker.argv])
    assert "BATON_API_KEY" not in worker.env


@pytest.mark.parametrize(("cores", "threads"), [(8, "4"), (3, "1"), (1, "1")])
def test_workers_share_the_cores(model: str, cores: int, threads: str) -> None:
    launch = plan(UpSettings(model=model), cores=cores)
    command = launch.worker("decode-0", Role.DECODE, "r:1", 0)
    assert command.env["OMP_NUM_THREADS"] == threads
    assert launch.threads == int(threads)


def test_threads_that_were_asked_for_are_given(model: str) -> None:
    assert plan(UpSettings(model=model, threads=3)).threads_of("decode-0") == 3


def test_variables_meant_for_up_do_not_reach_its_children(model: str) -> None:
    environ = {
        "BATON_PORT": "8000",
        "BATON_WORKER_ID": "x",
        "BATON_CONFIG": "file",
        "BATON_API_KEY": "k",
        "VLLM_API_KEY": "k",
        "PATH": "/bin",
    }
    launch = plan(UpSettings(model=model), environ)
    for command in (launch.gateway(1, 2), launch.worker("d", Role.DECODE, "r:1", 0)):
        assert "BATON_PORT" not in command.env
        assert "BATON_WORKER_ID" not in command.env
        assert not {"BATON_CONFIG", "BATON_API_KEY", "VLLM_API_KEY"} & set(command.env)
        assert command.env["PATH"] == "/bin"


def test_the_first_served_name_is_the_one_to_try(model: str) -> None:
    assert plan(UpSettings(model=model)).settings.pools[0].name == model
    assert plan(named(model)).settings.pools[0].name == "a"


def test_gateway_and_workers_get_the_files_of_mutual_tls(model: str, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "authority")
    tls = authority.settings(authority.issue("cluster"))
    settings = UpSettings(
        model=model,
        gateway=GatewaySettings(cluster_tls=tls),
        worker=WorkerSettings(cluster_tls=tls),
    )
    made = plan(settings)
    worker = made.worker("d-0", Role.DECODE, "127.0.0.1:77", 0)
    for command in (made.gateway(8000, 77), worker):
        assert flag(command, "--tls-cert") == tls.tls_cert
        assert flag(command, "--tls-key") == tls.tls_key
        assert flag(command, "--tls-ca") == tls.tls_ca


def test_workers_that_lend_their_cores_have_places_of_their_own(model: str) -> None:
    settings = UpSettings(model=model, prefill_workers=2, lend_cores=True)
    lending = LaunchPlan(settings, SECRET, {}, 8, "text", core_board="/board")
    commands = [
        lending.worker(name, role, "", slot) for slot, (name, role) in enumerate(lending.workers())
    ]
    assert [flag(command, "--core-slot") for command in commands[1:]] == ["1", "2"]
    assert {flag(command, "--core-board") for command in commands} == {"/board"}
    alone = plan(settings).worker("prefill-1", Role.PREFILL, "", 1)
    assert not {"--core-board", "--core-slot"} & set(alone.argv)


def test_a_page_has_places_for_so_many_workers(model: str) -> None:
    with pytest.raises(SettingsError, match="--lend-cores is for 64 workers at most"):
        UpSettings(model=model, prefill_workers=64, lend_cores=True)


def test_workers_share_the_gpus_and_the_memory_of_each(model: str) -> None:
    settings = UpSettings(model=model, prefill_workers=2, worker=WorkerSettings())
    names = [name for name, _ in plan(settings).workers()]
    for gpus, devices, share in (((), None, 0.9), (("4",), None, 0.3), (("4", "6"), "464", 0.45)):
        made = replace(plan(settings), gpus=gpus)
        commands = [made.worker(name, Role.DECODE, "", slot) for slot, name in enumerate(names)]
        shares = [
            float(flag(c, "--gpu-memory-utilization"))
            for c in commands
            if "--gpu-memory-utilization" in c.argv  # else the default's
        ]
        assert shares == ([pytest.approx(share)] * 3 if gpus else [])
        given = [c.env.get("CUDA_VISIBLE_DEVICES") for c in commands]
        assert given == (list(devices) if devices else [None] * 3)


def test_a_named_gpu_is_everybodys(model: str) -> None:
    settings = UpSettings(model=model, worker=WorkerSettings(device="cuda:1"))
    command = replace(plan(settings), gpus=("0", "1")).worker("prefill-0", Role.PREFILL, "", 0)
    assert "CUDA_VISIBLE_DEVICES" not in command.env
    assert flag(command, "--device") == "cuda:1"
    assert flag(command, "--gpu-memory-utilization") == "0.45"


def test_gpus_are_counted_without_asking_cuda(tmp_path: Path) -> None:
    assert visible_gpus({}, tmp_path) == ()
    for node in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / node).parent.mkdir(exist_ok=True)
        (tmp_path / "dev" / node).touch()
    assert visible_gpus({}, tmp_path) == ("0", "1", "2")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-5a, 7"}, tmp_path) == ("GPU-5a", "7")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, tmp_path) == ("1",)
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()


def test_an_encode_worker_is_told_nothing_that_only_engines_act_on(model: str) -> None:
    settings = UpSettings(
        model=model,
        encode_workers=1,
        worker=WorkerSettings(kv_cache_memory_bytes=1 << 20, image_cache_memory_bytes=1 << 21),
    )
    cluster = plan(settings, cores=6)
    assert cluster.workers()[-1] == ("encode-0", Role.ENCODE)
    command = cluster.worker("encode-0", Role.ENCODE, "h:1", 2)
    assert "encode" in command.argv
    assert flag(command, "--image-cache-memory-bytes") == str(1 << 21)
    assert flag(command, "--threads") == "2"
    assert "--kv-cache-memory-bytes" not in command.argv
    other = cluster.worker("decode-0", Role.DECODE, "h:1", 1)
    assert flag(other, "--kv-cache-memory-bytes") == str(1 << 20)
