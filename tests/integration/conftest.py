from __future__ import annotations

from collections.abc import Iterator

import pytest

from settings import Settings
from tests.web import Web


@pytest.fixture
def web(settled: Settings) -> Iterator[Web]:
    """The web process of this test's own, on real servers."""
    made = Web(settled)
    try:
        yield made
    finally:
        made.close()
