"""The inventory as told: a NameNode that follows the heartbeats always arrives at the digest they carry."""

from __future__ import annotations

import random
import threading
from functools import reduce
from operator import xor

import pytest
from blake3 import blake3
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.model import ChunkKey, inventory_token
from core.storagenode.inventory import Changes, Inventory

IDS = [blake3(bytes([number])).hexdigest() for number in range(6)]
A, B, C, *_ = IDS


def digest_of(chunk_ids: object) -> int:
    return reduce(xor, (inventory_token(chunk_id) for chunk_id in chunk_ids), 0)  # type: ignore[attr-defined]


class Follower:
    """What a NameNode believes of one node."""

    def __init__(self, inventory: Inventory) -> None:
        self.believed: set[str] = set()
        self.corrupt: list[str] = []
        self.sequence = 0
        self.report(inventory)

    def report(self, inventory: Inventory) -> None:
        self.believed = {chunk.id for chunk in inventory.full_report()}

    def take(self, changes: Changes) -> None:
        if changes.sequence == self.sequence:
            return
        assert changes.sequence > self.sequence
        self.sequence = changes.sequence
        self.believed |= {chunk.id for chunk in changes.received}
        self.believed -= {*changes.removed, *changes.corrupt}
        self.corrupt += changes.corrupt
        assert changes.chunks == len(self.believed)
        assert changes.inventory_digest == digest_of(self.believed)

    def drain(self, inventory: Inventory) -> None:
        for _ in range(1000):
            changes = inventory.changes()
            self.take(changes)
            inventory.confirmed(changes.sequence)
            if not (changes.received or changes.removed or changes.corrupt or changes.failed_copies):
                return
        raise AssertionError("changes never end")


class Conversation(RuleBasedStateMachine):
    """Any order of changes, heartbeats that arrive or do not, answers that arrive or do not, and reports."""

    def __init__(self) -> None:
        super().__init__()
        self.held = {A: 1}
        self.inventory = Inventory(self.held, changes_max=2)
        self.follower = Follower(self.inventory)
        self.failed_copies: set[str] = set()

    @rule(chunk_id=st.sampled_from(IDS))
    def add(self, chunk_id: str) -> None:
        self.inventory.add(chunk_id, 1)
        self.held[chunk_id] = 1

    @rule(chunk_id=st.sampled_from(IDS), corrupt=st.booleans())
    def remove(self, chunk_id: str, corrupt: bool) -> None:
        self.inventory.remove(chunk_id, corrupt=corrupt)
        self.held.pop(chunk_id, None)

    @rule(chunk_id=st.sampled_from(IDS))
    def mention(self, chunk_id: str) -> None:
        self.inventory.mention(chunk_id)

    @rule(chunk_id=st.sampled_from(IDS))
    def copy_failed(self, chunk_id: str) -> None:
        self.inventory.copy_failed(chunk_id)
        self.failed_copies.add(chunk_id)

    @rule(arrives=st.booleans(), answered=st.booleans())
    def heartbeat(self, arrives: bool, answered: bool) -> None:
        changes = self.inventory.changes()
        assert changes == self.inventory.changes()
        assert sum(map(len, (changes.received, changes.removed, changes.corrupt, changes.failed_copies))) <= 2
        if arrives:
            self.follower.take(changes)
            self.failed_copies -= set(changes.failed_copies)
            if answered:
                self.inventory.confirmed(changes.sequence)

    @rule()
    def report(self) -> None:
        self.follower.report(self.inventory)
        assert self.follower.believed == set(self.held)

    @rule(sequence=st.integers(0, 5))
    def late_confirmation(self, sequence: int) -> None:
        if sequence < self.follower.sequence:
            self.inventory.confirmed(sequence)

    @invariant()
    def holds_what_it_should(self) -> None:
        assert self.inventory.ids() == sorted(self.held)

    def teardown(self) -> None:
        self.follower.drain(self.inventory)
        assert self.follower.believed == set(self.held)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)


@pytest.fixture
def inventory() -> Inventory:
    return Inventory({A: 10}, changes_max=100)


def test_nothing_happened(inventory: Inventory) -> None:
    assert inventory.changes() == Changes(1, 1, inventory_token(A), (), (), (), ())


def test_each_kind_of_change(inventory: Inventory) -> None:
    inventory.add(B, 20)
    inventory.remove(A)
    inventory.remove(C, corrupt=True)
    inventory.copy_failed(C)
    assert inventory.changes() == Changes(1, 1, inventory_token(B), (ChunkKey(B, 20),), (A,), (C,), (C,))


def test_the_same_until_confirmed_then_the_rest(inventory: Inventory) -> None:
    inventory.add(B, 20)
    first = inventory.changes()
    inventory.add(C, 30)
    assert inventory.changes() == first
    inventory.confirmed(first.sequence - 1)
    assert inventory.changes() == first
    inventory.confirmed(first.sequence)
    second = inventory.changes()
    assert second.sequence == first.sequence + 1
    assert second.received == (ChunkKey(C, 30),)


def test_the_limit_holds_and_the_digest_with_it() -> None:
    inventory = Inventory({}, changes_max=2)
    for chunk_id in (A, B, C):
        inventory.add(chunk_id, 1)
    first = inventory.changes()
    assert [chunk.id for chunk in first.received] == [A, B]
    assert (first.chunks, first.inventory_digest) == (2, digest_of([A, B]))
    inventory.confirmed(1)
    second = inventory.changes()
    assert [chunk.id for chunk in second.received] == [C]
    assert (second.chunks, second.inventory_digest) == (3, digest_of([A, B, C]))


def test_received_and_removed_between_two_heartbeats_is_removed(inventory: Inventory) -> None:
    """A client may have told the NameNode of it meanwhile, so it is not nothing."""
    inventory.add(B, 20)
    inventory.remove(B)
    changes = inventory.changes()
    assert (changes.received, changes.removed) == ((), (B,))
    assert changes.inventory_digest == inventory_token(A)


def test_removed_and_received_between_two_heartbeats_is_received(inventory: Inventory) -> None:
    inventory.remove(A, corrupt=True)
    inventory.add(A, 10)
    changes = inventory.changes()
    assert (changes.received, changes.corrupt) == ((ChunkKey(A, 10),), ())
    assert (changes.chunks, changes.inventory_digest) == (1, inventory_token(A))


def test_a_deletion_does_not_hide_a_corruption(inventory: Inventory) -> None:
    inventory.remove(A, corrupt=True)
    inventory.remove(A)
    assert inventory.changes().corrupt == (A,)
    assert inventory.changes().removed == ()


def test_a_corruption_that_was_healed_does_not_colour_a_later_deletion(inventory: Inventory) -> None:
    inventory.remove(A, corrupt=True)
    inventory.add(A, 10)
    inventory.remove(A)
    changes = inventory.changes()
    assert (changes.removed, changes.corrupt) == ((A,), ())


def test_a_full_report_absorbs_changes_but_not_the_news_in_them(inventory: Inventory) -> None:
    inventory.add(B, 20)
    inventory.remove(A, corrupt=True)
    inventory.copy_failed(C)
    dropped = inventory.changes()
    assert inventory.full_report() == [ChunkKey(B, 20)]
    changes = inventory.changes()
    assert changes == Changes(dropped.sequence + 1, 1, inventory_token(B), (), (), (A,), (C,))


def test_a_corruption_healed_before_the_report_is_no_news(inventory: Inventory) -> None:
    inventory.remove(A, corrupt=True)
    inventory.changes()
    inventory.add(A, 10)
    inventory.full_report()
    changes = inventory.changes()
    assert (changes.received, changes.corrupt, changes.chunks) == ((), (), 1)


def test_nothing_is_lost_between_reports_heartbeats_and_many_threads() -> None:
    inventory = Inventory({}, changes_max=7)
    chunk_ids = [blake3(number.to_bytes(4, "big")).hexdigest() for number in range(400)]

    def store(part: list[str], luck: random.Random) -> None:
        for chunk_id in part:
            inventory.add(chunk_id, 1)
            if luck.random() < 0.3:
                inventory.remove(chunk_id)
                inventory.add(chunk_id, 1)

    threads = [threading.Thread(target=store, args=(chunk_ids[first::4], random.Random(first))) for first in range(4)]
    follower = Follower(inventory)
    for thread in threads:
        thread.start()
    for turn in range(60):
        changes = inventory.changes()
        follower.take(changes)
        if turn % 3:
            inventory.confirmed(changes.sequence)
        if turn % 10 == 0:
            follower.report(inventory)
    for thread in threads:
        thread.join()
    follower.drain(inventory)
    assert follower.believed == set(chunk_ids)
