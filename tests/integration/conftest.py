"""What tests of faults share."""

from __future__ import annotations

import pytest

from core.store import ArtifactStore
from tests.integration.processes import eventually
from tests.integration.wholeness import is_whole


@pytest.fixture
def healthy(real_store: ArtifactStore) -> ArtifactStore:
    """The shared cluster with every node up and every replica in its place, also after the test before."""
    eventually(lambda: is_whole(real_store))
    return real_store
