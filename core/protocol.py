"""Whether two processes of one cluster understand each other: one number, compared before anything else is said.

A client shows its number when it connects, a storage node when it registers. The NameNode compares, and refuses in one
sentence what it does not understand; so in an upgrade the head comes first, then the storage nodes one at a time, then
the clients.

Raise PROTOCOL_VERSION when a process of the release before would misunderstand one of this release: a method or a
field is gone or means something else, a class that is sent has moved. A method, or a field with a default, that is only
added does not count. PROTOCOL_OLDEST follows one release later, so that a cluster can be upgraded while it serves.
`meet`, its arguments and its answer, `Registration.protocol` and ProtocolMismatch stay as they are for ever.
"""

from __future__ import annotations

from core.errors import ProtocolMismatch

RELEASE = "0.1.0"
"""As in pyproject.toml; here too, since processes that Ray starts have the code without the installed package."""

PROTOCOL_VERSION = 1
PROTOCOL_OLDEST = 1
"""The oldest that a NameNode of this release still serves."""


def check_understood(who: str, protocol: int, release: str) -> None:
    """What a NameNode asks itself of a process that shows these. Raises ProtocolMismatch.

    who: begins the sentence, such as "This client".
    """
    if PROTOCOL_OLDEST <= protocol <= PROTOCOL_VERSION:
        return
    theirs, ours = f"DAME {release} (protocol {protocol})", f"DAME {RELEASE} (protocol {PROTOCOL_VERSION})"
    if protocol > PROTOCOL_VERSION:
        remedy = f"upgrade the head first, or use DAME {RELEASE} there"
    else:
        remedy = f"upgrade it to DAME {RELEASE}, as it is too old for this NameNode"
    raise ProtocolMismatch(
        f"{who} is {theirs}, and the NameNode is {ours}; {remedy}.",
        protocol=protocol,
        release=release,
        namenode_protocol=PROTOCOL_VERSION,
        namenode_release=RELEASE,
    )


def meet(protocol: int, release: str) -> tuple[int, str]:
    """A client shows its numbers; the answer are the NameNode's. Plain values, which every release can read.

    Raises ProtocolMismatch.
    """
    check_understood("This client", protocol, release)
    return PROTOCOL_VERSION, RELEASE
