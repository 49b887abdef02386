"""Descriptions and readings of workers that exist only on paper."""

from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.labels import Labels
from baton.core.layout import LayoutDescriptor
from baton.core.room import Room
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState

BLOCK_SIZE = 16


def make_fingerprint(model: str = "m", tokenizer: str = "t") -> Fingerprint:
    layout = LayoutDescriptor(
        num_layers=2, num_kv_heads=2, head_dim=8, block_size=BLOCK_SIZE, dtype="float32"
    )
    return Fingerprint(PROTOCOL_VERSION, model, "", tokenizer, "float32", layout, "r")


def make_info(
    worker_id: str,
    role: Role,
    fingerprint: Fingerprint | None = None,
    address: str = "127.0.0.1:1",
    instance_id: str = "",
    max_model_len: int = 1024,
    labels: Labels = (),
) -> WorkerInfo:
    return WorkerInfo(
        worker_id=worker_id,
        instance_id=instance_id or f"instance-of-{worker_id}",
        role=role,
        address=address,
        metrics_url="http://127.0.0.1:1/metrics",
        pid=1,
        model="model",
        max_model_len=max_model_len,
        num_blocks=100,
        fingerprint=fingerprint or make_fingerprint(),
        labels=labels,
    )


def make_load(
    running: int = 0,
    waiting: int = 0,
    free: int = 100,
    state: WorkerState = WorkerState.READY,
) -> WorkerLoad:
    return WorkerLoad(
        state=state,
        running=running,
        waiting=waiting,
        free_blocks=free,
        reserved_blocks=0,
        leased_blocks=0,
        total_blocks=100,
        room=Room(free_blocks=free),
    )
