"""What a worker in Ray takes of its node, and what it is told."""

from dataclasses import replace

import pytest

from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.ray.plan import RayPlan, own_cpus
from baton.cluster.ray.settings import RaySettings
from baton.cluster.up_settings import UpSettings
from baton.core.errors import SettingsError
from baton.core.worker_info import Role
from baton.worker.settings import WorkerSettings


def plan(joined: bool = False, has_gpus: bool = False, **settings: object) -> RayPlan:
    told = replace(UpSettings(model="/m", orchestrator="ray"), **settings)  # type: ignore[arg-type]
    return RayPlan(LaunchPlan(told, "5ec2e7", {}, 8, "text"), joined, has_gpus)


def test_a_worker_takes_the_cores_that_it_computes_with() -> None:
    assert plan().needed(Role.DECODE) == {"CPU": 4.0}  # of 8 cores for two workers
    assert plan().worker("decode-0", Role.DECODE, "r:1").threads == 4
    assert plan(joined=True).needed(Role.DECODE) == {"CPU": 1.0}  # of machines that we do not know
    assert plan(joined=True, threads=3).needed(Role.PREFILL) == {"CPU": 3.0}


def test_a_gpu_is_taken_where_there_are_some_unless_the_cpu_is_named() -> None:
    assert plan(has_gpus=True).needed(Role.DECODE)["GPU"] == 1.0
    on_cpu = plan(has_gpus=True, worker=WorkerSettings(device="cpu"))
    assert "GPU" not in on_cpu.needed(Role.DECODE)


def test_resources_that_are_named_are_taken_by_their_role_alone() -> None:
    ray = RaySettings(ray_decode_resources={"CPU": 2, "GPU": 0.5, "fast": 1})
    made = plan(has_gpus=True, ray=ray)
    assert made.needed(Role.DECODE) == {"CPU": 2.0, "GPU": 0.5, "fast": 1.0}
    assert made.needed(Role.PREFILL) == {"CPU": 4.0, "GPU": 1.0}
    told = made.worker("decode-0", Role.DECODE, "r:1")
    assert told.threads == 2
    lone = plan(ray=RaySettings(ray_decode_resources={"decode": 1}))
    assert lone.worker("decode-0", Role.DECODE, "r:1").threads is None  # all that its node lends
    assert told.gpu_memory_utilization == pytest.approx(0.45)  # half a GPU, half its memory
    assert made.worker("prefill-0", Role.PREFILL, "r:1").gpu_memory_utilization == 0.9


def test_a_worker_is_told_who_it_is_and_where_to_join() -> None:
    told = plan().worker("decode-0", Role.DECODE, "10.0.0.1:77")
    assert (told.worker_id, told.registry, told.cluster_secret, told.model) == (
        *("decode-0", "10.0.0.1:77", "5ec2e7", "/m"),
    )


def test_a_ray_of_our_own_has_room_for_the_first_workers() -> None:
    settings = UpSettings(model="/m", orchestrator="ray", prefill_workers=2, threads=3)
    assert own_cpus(settings, 2) == 9
    assert own_cpus(settings, 16) == 16


@pytest.mark.parametrize(
    ("ray", "sentence"),
    [
        (RaySettings(ray_address="ray://h:1"), "is Ray's client protocol"),
        (RaySettings(ray_address="head"), "--ray-address head must be auto or HOST:PORT"),
        (RaySettings(ray_decode_resources={"CPU": "2"}), "CPU must be a number, 0 or more"),
        (RaySettings(ray_decode_resources={"GPU": 1.5}), "GPU 1.5 must be whole"),
        (RaySettings(ray_prefill_resources={}), "--ray-prefill-resources names nothing"),
        (RaySettings(ray_namespace=""), "--ray-namespace must be a name"),
    ],
)
def test_settings_that_ray_would_not_take_are_refused(ray: RaySettings, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        UpSettings(orchestrator="ray", ray=ray)


def test_settings_of_ray_without_ray_are_refused() -> None:
    with pytest.raises(SettingsError, match="are for --orchestrator ray"):
        UpSettings(ray=RaySettings(ray_address="auto"))
    with pytest.raises(SettingsError, match="--lend-cores is for workers that are processes"):
        UpSettings(orchestrator="ray", lend_cores=True)
