from collections.abc import Iterator

import pytest

from tests.support.chart import CHART
from tests.support.helm4 import Helm4, helm4


@pytest.fixture(scope="session")
def helm() -> Iterator[Helm4]:
    with helm4(CHART) as process:
        yield process
