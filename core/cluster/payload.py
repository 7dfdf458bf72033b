"""A chunk's bytes on their way through Ray."""

from __future__ import annotations

import pickle
from typing import Any


class Payload:
    """Bytes that Ray carries beside its message, not inside: shared memory is read where it lies.

    A bare PickleBuffer would do within a cluster, but what arrives of it can't be pickled again, as Ray's client server
    must for those outside.
    """

    def __init__(self, buffer: Any) -> None:
        self.view = memoryview(buffer)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Payload, (pickle.PickleBuffer(self.view),)
