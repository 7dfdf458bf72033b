"""What crosses a border is frozen, plain and picklable; an inventory's digest forgets the order."""

from __future__ import annotations

import dataclasses
import functools
import operator
import pickle
import random

import pytest
from blake3 import blake3

from core import model
from core.model import NODE_STATES, ChunkKey, inventory_token
from tests.fakes import FakeStore

KINDS = [kind for kind in map(vars(model).__getitem__, model.__all__) if dataclasses.is_dataclass(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_crosses_a_border_is_frozen(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_snapshots_survive_pickling() -> None:
    store = FakeStore()
    version = store.upload("a", b"content", chunk_size_bytes=2)
    for value in (
        version,
        store.list(),
        store.info("a"),
        store.status(),
        store.nodes(),
        store.node("sn-01"),
        store.events(),
    ):
        assert pickle.loads(pickle.dumps(value)) == value


def test_a_status_counts_every_state() -> None:
    assert tuple(FakeStore().status().nodes) == NODE_STATES


def test_an_inventory_digest_does_not_depend_on_the_order_and_can_be_undone() -> None:
    tokens = [inventory_token(blake3(bytes([number])).hexdigest()) for number in range(50)]
    digest = functools.reduce(operator.xor, tokens)
    shuffled = random.Random(1).sample(tokens, len(tokens))
    assert functools.reduce(operator.xor, shuffled) == digest
    assert digest ^ tokens[7] == functools.reduce(operator.xor, tokens[:7] + tokens[8:])
    assert 0 <= digest < 2**64


def test_a_chunk_is_known_by_name_and_length() -> None:
    assert ChunkKey("a", 1) == ChunkKey("a", 1) != ChunkKey("a", 2)
