"""What a worker's process can be: of the services of both roles that answer, so that it can change from
one to the other, or an encoder of images.
"""

from collections.abc import Collection
from typing import NoReturn

from baton.core.worker_info import Role
from baton.worker.loaded_engine import engine_loader
from baton.worker.process import be_worker_with
from baton.worker.served import Load
from baton.worker.services import Services
from baton.worker.settings import WorkerSettings
from decode_worker.__main__ import add_service as add_decode_service
from prefill_worker.__main__ import add_service as add_prefill_service

SERVICES: Services = {Role.PREFILL: add_prefill_service, Role.DECODE: add_decode_service}


def loader_of(role: Role) -> tuple[Load, Collection[Role]]:
    """What such a worker loads, and the roles that it can have."""
    if role is Role.ENCODE:
        from encode_worker.loaded_encoder import (
            load_encoder,  # brings the vision tower's needs along
        )

        return load_encoder, (Role.ENCODE,)
    return engine_loader(SERVICES, role), SERVICES.keys()


def be_worker(role: Role, settings: WorkerSettings) -> NoReturn:
    """Its whole life, begun in that role."""
    load, roles = loader_of(role)
    be_worker_with(load, role, roles, settings)
