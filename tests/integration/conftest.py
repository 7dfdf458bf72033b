"""What tests of faults share."""

from __future__ import annotations

import pytest

from core.store import ArtifactStore
from tests.integration.wholeness import wait_until_whole

_ILL: set[ArtifactStore] = set()
"""What was waited for in vain: the tests after it fail at once."""


@pytest.fixture
def healthy(real_store: ArtifactStore) -> ArtifactStore:
    """The shared cluster with every node up and every replica in its place, also after the test before."""
    assert real_store not in _ILL, "it was not whole before an earlier test"
    _ILL.add(real_store)
    wait_until_whole(real_store)
    _ILL.remove(real_store)
    return real_store
