"""`python -m encode_worker`: a worker that encodes images."""

from typing import NoReturn

from baton.core.worker_info import Role
from baton.worker.process import be_worker_with, command
from baton.worker.settings import WorkerSettings
from encode_worker.loaded_encoder import load_encoder


def be_worker(settings: WorkerSettings) -> NoReturn:
    be_worker_with(load_encoder, Role.ENCODE, (Role.ENCODE,), settings)


main = command(Role.ENCODE, be_worker)

if __name__ == "__main__":
    main()
