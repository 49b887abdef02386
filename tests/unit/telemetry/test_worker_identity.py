"""A worker's page says whose it is, and in which role."""

from prometheus_client import CollectorRegistry

from baton.telemetry.metrics import WorkerIdentity
from tests.support.worker_infos import worker_info


def test_the_role_is_told_as_it_is_at_the_scrape() -> None:
    known = [worker_info("prefill-0")]
    registry = CollectorRegistry()
    registry.register(WorkerIdentity(lambda: known[-1]))
    for worker_id, role in (("prefill-0", "prefill"), ("decode-0", "decode")):
        known.append(worker_info(worker_id))
        labels = {"worker_id": worker_id, "role": role}
        assert registry.get_sample_value("baton_worker_info", labels) == 1
