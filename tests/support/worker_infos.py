"""Descriptions of workers that do not exist."""

from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.core.worker_info import Role, WorkerInfo


def worker_info(worker_id: str = "prefill-0", instance_id: str = "one") -> WorkerInfo:
    return WorkerInfo(
        worker_id=worker_id,
        instance_id=instance_id,
        role=Role.DECODE if worker_id.startswith("decode") else Role.PREFILL,
        address="127.0.0.1:4000",
        metrics_url="http://127.0.0.1:4001/metrics",
        pid=4002,
        model="some-model",
        max_model_len=128,
        num_blocks=8,
        fingerprint=Fingerprint(
            protocol=PROTOCOL_VERSION,
            model_digest="m",
            revision="",
            tokenizer_digest="t",
            dtype="float32",
            layout=LayoutDescriptor(2, 2, 8, 16, "float32"),
            rope_digest="r",
        ),
    )
