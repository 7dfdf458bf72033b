"""The order of a storage node's messages to the NameNode."""

from __future__ import annotations

from typing import Any

from core.errors import Superseded
from core.model import Command, GiveUp
from core.storagenode.conversation import Conversation
from core.storagenode.storagenode import StorageNode


def test_a_process_that_is_told_of_a_newer_one_when_it_registers_ends(node: StorageNode) -> None:
    """Simulation, seed 195: the registration of a process that was dead by then arrived after its successor's, and the
    successor was refused for ever."""

    def ask(method: str, *arguments: Any) -> Any:
        assert method == "register"
        raise Superseded("a newer process serves this directory")

    told: list[Command] = []
    Conversation(node, ask, "endpoint", 1).step(told.append)
    assert told == [GiveUp()]
