"""Several raylets, each with its own disks: storage nodes appear with them and go with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import Loader, assert_same, dame, eventually, fetch
from tests.integration.raylets import ON_LOOPBACK, Raylets, ask

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]  # some twenty processes are started one after the other


@pytest.fixture
def raylets(tmp_path: Path) -> Iterator[Raylets]:
    raylets = Raylets(tmp_path / "namenode")
    yield raylets
    raylets.end()


def test_a_cluster_of_raylets_grows_heals_and_serves_from_outside(raylets: Raylets, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40_000
    source = tmp_path / "source"
    source.write_bytes(content)
    for index in range(4):
        raylets.add(tmp_path / f"disk-{index}")
    eventually(lambda: ask(raylets.address, "status")["nodes"]["up"] == 4)
    ask(raylets.address, "upload", "spread", "--file", str(source), "--chunk-size", "1MiB")

    # From outside the cluster, by Ray's client protocol: the same verbs, the code shipped along.
    assert_same(fetch("spread", "--address", raylets.client_address), content)
    assert ask(raylets.client_address, "update", "spread", "from outside")["version"] == 2

    with Loader(raylets.client_address) as loader:
        eventually(lambda: len(ask(raylets.address, "list")) > 3)
        directory = ask(raylets.address, "nodes")[0]["directory"]
        victim = next(index for index in range(4) if directory.startswith(str(tmp_path / f"disk-{index}")))
        raylets.kill(victim)
        eventually(lambda: ask(raylets.address, "status")["nodes"]["down"] == 1)
        eventually(lambda: ask(raylets.address, "status")["under_replicated"] == 0)
        assert_same(fetch("spread", "--version", "1", "--address", raylets.address, environment=ON_LOOPBACK), content)

        # A new raylet on the directory of the dead one is that storage node again.
        raylets.add(tmp_path / f"disk-{victim}")
        eventually(lambda: ask(raylets.address, "status")["nodes"]["up"] == 4)
        assert len(ask(raylets.address, "nodes")) == 4
        told = loader.finish()
    assert told["done"]["update"] > 3 and told["done"]["get"] > 3, told


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused = dame("--address", "ray://127.0.0.1:1", "list")
    assert refused.returncode == 1
    told = refused.stderr.decode()
    assert "ray://127.0.0.1:1" in told and "Traceback" not in told
