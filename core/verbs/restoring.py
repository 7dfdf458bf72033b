"""`restore-catalog` in words: what was restored, and exactly what may be missing."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from core.config import Config
from core.units import human_bytes, plural

if TYPE_CHECKING:
    from core.checkpoint.restore import Restored

NAMES_SHOWN = 10
HOUR_MS = 3_600_000


def restored_text(restored: Restored, config: Config) -> str:
    """Lines for a person."""
    when, edits = _moment(restored.time_ms), plural(restored.edits, "edit")
    held = f"{plural(restored.artifacts, 'artifact')}, {plural(restored.versions, 'version')}"
    lines = [
        f"Restored {restored.catalog} from the checkpoint of {when}, after {edits}: {held}.",
        "Start the cluster as always. What may be missing:",
        "- What was uploaded, updated, deleted, undeleted or asked of storage nodes after that time is lost.",
        *(
            f"- A newer checkpoint, of {_moment(each.time_ms)}, was passed over: {each.why}."
            for each in restored.not_whole
        ),
        f"- What was in the trash then is there again, also what was undeleted after, for {_grace(config)} at least;"
        " `undelete` brings it back.",
        *_uncounted(restored, config),
        *_not_found(restored),
        *_not_scanned(restored),
        *(f"- {sentence}" for sentence in restored.damaged),
        f"Scanned: {', '.join(restored.directories)}.",
    ]
    return "\n".join(lines)


def _uncounted(restored: Restored, config: Config) -> list[str]:
    if not restored.uncounted_chunks:
        return ["- Every chunk that was found belongs to a version that the catalog knows."]
    amount = f"{plural(restored.uncounted_chunks, 'chunk')} ({human_bytes(restored.uncounted_bytes)})"
    kept = _grace(config)
    return [
        f"- Found, but in no version that the catalog knows: {amount}. They may be of versions that are lost, and are"
        f" kept for {kept} once the cluster has started."
    ]


def _grace(config: Config) -> str:
    return plural(config.unknown_grace_ms // HOUR_MS, "hour")


def _not_found(restored: Restored) -> list[str]:
    if not restored.not_found_chunks:
        return ["- Every chunk that a version counts was found."]
    amount = f"{plural(restored.not_found_chunks, 'chunk')} ({human_bytes(restored.not_found_bytes)})"
    names = ", ".join(repr(name) for name in restored.not_found_artifacts[:NAMES_SHOWN])
    more = len(restored.not_found_artifacts) - NAMES_SHOWN
    of = f", of {names}{f' and {more} more' if more > 0 else ''}" if names else ""
    return [f"- In versions, but on none of the directories scanned: {amount}{of}. Other storage nodes may have them."]


def _not_scanned(restored: Restored) -> list[str]:
    if not restored.nodes_not_scanned:
        return []
    return [f"- Not scanned: {', '.join(restored.nodes_not_scanned)}. A newer checkpoint may be there."]


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
