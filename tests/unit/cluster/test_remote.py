"""What Ray raises reaches nobody as it is."""

from __future__ import annotations

import pytest

from core.cluster.remote import translated
from core.errors import ClusterUnreachable


@pytest.mark.parametrize("raised", [ConnectionError("gone"), TimeoutError("gone"), Exception("gone")])
def test_a_lost_cluster_is_named(raised: Exception) -> None:
    with pytest.raises(ClusterUnreachable, match="gone"), translated():
        raise raised


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("ours")
