"""`restore-catalog` as a person and a script meet it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.checkpoint.restore import NotWhole, Restored
from core.config import Config
from core.verbs.restoring import restored_text
from main import main
from tests.inprocess import Cluster
from tests.unit.checkpoint import disaster
from tests.unit.checkpoint.conftest import checkpointer_of

RESTORED = Restored(
    catalog="/data/namenode/catalog.sqlite",
    cluster_id="cluster",
    time_ms=1_700_000_000_000,
    edits=1_234,
    checkpoint_epoch=3,
    epoch=1_005,
    size_bytes=90_000,
    artifacts=2,
    versions=1,
    directories=("/data/storage/slot-0", "/data/storage/slot-1"),
    nodes_not_scanned=("sn-03",),
    not_whole=(
        NotWhole(3, 1_300, 1_700_000_100_000, "1 of its 2 chunks are on none of these directories, or damaged"),
    ),
    damaged=("/data/storage/slot-1/identity.json can't be understood.",),
    uncounted_chunks=1,
    uncounted_bytes=8 * 1024 * 1024,
    not_found_chunks=2,
    not_found_bytes=10,
    not_found_artifacts=tuple(f"name-{number}" for number in range(12)),
)


@pytest.fixture
def lost(cluster: Cluster, tmp_path: Path) -> Path:
    """The directory of an embedded cluster whose catalog is gone."""
    cluster.store.upload("a", b"one")
    checkpointer_of(cluster).save()
    disaster.lose_catalog(cluster)
    for slot in disaster.slots(cluster):
        shutil.copytree(slot, tmp_path / "embedded" / "storage" / slot.name)
    return tmp_path / "embedded"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAME_ADDRESS", "DAME_DATA_DIR", "DAME_NAMENODE_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_the_sentences_say_what_may_be_missing() -> None:
    text = restored_text(RESTORED, Config())
    for part in (
        "Restored /data/namenode/catalog.sqlite from the checkpoint of 2023-11-1",
        "after 1,234 edits: 2 artifacts, 1 version.",
        "after that time is lost",
        "was passed over: 1 of its 2 chunks",
        "is there again, also what was undeleted after, for 24 hours at least",
        "Found, but in no version that the catalog knows: 1 chunk (8.0 MiB).",
        "kept for 24 hours",
        "on none of the directories scanned: 2 chunks (10 B), of 'name-0', 'name-1'",
        "'name-9' and 2 more. Other storage nodes may have them.",
        "Not scanned: sn-03. A newer checkpoint may be there.",
        "identity.json can't be understood",
        "Scanned: /data/storage/slot-0, /data/storage/slot-1.",
    ):
        assert part in text


def test_it_restores_and_a_second_time_it_refuses(lost: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-dir", str(lost), "restore-catalog"]) == 0
    told = capfd.readouterr()
    assert f"Restored {lost}/namenode/catalog.sqlite" in told.out
    assert "Every chunk that a version counts was found." in told.out
    assert main(["restore-catalog", "--data-dir", str(lost)]) == 1
    assert "a catalog that is there is not replaced" in capfd.readouterr().err


def test_as_json(lost: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-dir", str(lost), "restore-catalog", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["artifacts"], told["not_whole"], told["not_found_chunks"]) == (1, [], 0)
    assert told["edits"] > 0 and told["epoch"] > told["checkpoint_epoch"] and len(told["directories"]) == 4


def test_storage_directories_named_one_by_one(
    lost: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAME_NAMENODE_DIR", str(tmp_path / "head"))
    options = [word for slot in ("slot-0", "slot-1") for word in ("--storage", str(lost / "storage" / slot))]
    assert main(["restore-catalog", *options]) == 0
    assert (tmp_path / "head" / "catalog.sqlite").exists()
    told = capfd.readouterr().out
    assert told.count("slot-") == 2 and "Not scanned: sn-03, sn-04." in told


def test_nothing_to_restore_from(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-dir", str(tmp_path), "restore-catalog"]) == 1
    assert "no storage directories" in capfd.readouterr().err


def test_an_address_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--address", "auto", "restore-catalog"]) == 2
    assert "not on an address" in capfd.readouterr().err
