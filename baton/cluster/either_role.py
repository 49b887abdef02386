"""A worker's process that has the services of both roles, so that it can change from one to the other."""

from typing import NoReturn

from baton.core.worker_info import Role
from baton.worker.process import be_worker_of
from baton.worker.services import Services
from baton.worker.settings import WorkerSettings
from decode_worker.__main__ import add_service as add_decode_service
from prefill_worker.__main__ import add_service as add_prefill_service

SERVICES: Services = {Role.PREFILL: add_prefill_service, Role.DECODE: add_decode_service}


def be_worker(role: Role, settings: WorkerSettings) -> NoReturn:
    """Its whole life, begun in that role."""
    be_worker_of(role, settings, SERVICES)
