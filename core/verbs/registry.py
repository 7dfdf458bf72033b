"""Every verb: how it is written, and what it does."""

from __future__ import annotations

import argparse
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from core.errors import UsageError
from core.model import FsckReport, NodeDetail, NodeInfo, ScrubProgress, Steps, Version
from core.store import Content
from core.units import human_bytes, parse_bytes, plural
from core.verbs.verb import Argument, Completes, Context, Result, Verb, Written

# --- Values of arguments ----------------------------------------------------------------------------------------

_DIGITS_MAX = 18


def _whole_number(word: str) -> int:
    if word.isascii() and word.isdecimal() and len(word) <= _DIGITS_MAX:
        return int(word)
    raise ValueError("a whole number")


def _number_from_one(word: str) -> int:
    try:
        number = _whole_number(word)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError("a whole number from 1 on")
    return number


def _size(word: str) -> int:
    try:
        return parse_bytes(word)
    except ValueError:
        raise ValueError("a size such as 65536, 64k or 4MiB") from None


def _path(word: str) -> str:
    if not word or "\0" in word:
        raise ValueError("a path")
    return word


# --- What verbs do ----------------------------------------------------------------------------------------------


def _upload(context: Context, arguments: argparse.Namespace) -> Result:
    return _write(context, arguments, context.store.upload, "Uploaded")


def _update(context: Context, arguments: argparse.Namespace) -> Result:
    return _write(context, arguments, context.store.update, "Updated")


def _write(context: Context, arguments: argparse.Namespace, store: Callable[..., Version], did: str) -> Result:
    version = store(
        arguments.name,
        _content(context, arguments),
        replication=arguments.replication,
        chunk_size_bytes=arguments.chunk_size,
        keep_versions=arguments.keep_versions,
        progress=context.progress,
        cancel=context.cancel,
    )
    what = f"{human_bytes(version.size_bytes)} in {plural(version.chunks, 'chunk')}"
    copies = plural(version.replication, "copy", "copies")
    text = (
        f"{did} {version.name}: version {version.version}, {f'{what}, {copies} each' if version.chunks else 'empty'}."
    )
    return Result("version", version, text, version.warnings)


def _content(context: Context, arguments: argparse.Namespace) -> Content:
    if arguments.file is None:
        text: str = arguments.text
        return text
    if arguments.file != "-":
        return context.path(arguments.file)
    if context.stdin is None:
        raise UsageError("There is no standard input here; name a file instead of `-`.")
    return context.stdin


def _get(context: Context, arguments: argparse.Namespace) -> Result:
    if arguments.output is not None:
        return _get_to_file(context, arguments)
    if context.stdout is not None:
        _copy(context, arguments, context.stdout)
        return Result("none", None)
    content = io.BytesIO()
    version = _copy(context, arguments, content)
    return Result("content", content.getvalue(), f"{_described(version)}.")


def _copy(context: Context, arguments: argparse.Namespace, stream: BinaryIO) -> Version:
    return context.store.copy_to(
        arguments.name, stream, arguments.version, progress=context.progress, cancel=context.cancel
    )


def _get_to_file(context: Context, arguments: argparse.Namespace) -> Result:
    path = context.path(arguments.output)
    version = context.store.download(
        arguments.name, path, arguments.version, progress=context.progress, cancel=context.cancel
    )
    written = Written(version.name, version.version, version.size_bytes, str(path))
    return Result("written", written, f"Wrote {_described(version)}, to {path}.")


def _described(version: Version) -> str:
    return f"{version.name}, version {version.version}, {human_bytes(version.size_bytes)}"


def _replicate(context: Context, arguments: argparse.Namespace) -> Result:
    version = context.store.replicate(arguments.name, arguments.replication)
    copies = plural(version.replication, "copy", "copies")
    return Result("version", version, f"{version.name} is to have {copies} of each chunk; `status` shows the copying.")


def _delete(context: Context, arguments: argparse.Namespace) -> Result:
    version = context.store.delete(arguments.name)
    text = f"Deleted {version.name} with all its versions; `undelete` brings it back while it is in the trash."
    return Result("version", version, text)


def _undelete(context: Context, arguments: argparse.Namespace) -> Result:
    version = context.store.undelete(arguments.name)
    return Result("version", version, f"Undeleted {_described(version)}.")


def _trash(context: Context, _: argparse.Namespace) -> Result:
    rows = context.store.trash()
    text = f"In the trash: {', '.join(row.name for row in rows)}." if rows else "The trash is empty."
    return Result("trash", rows, text)


def _purge(context: Context, arguments: argparse.Namespace) -> Result:
    version = context.store.purge(arguments.name)
    return Result("version", version, f"Purged {version.name} with all its versions from the trash.")


def _list(context: Context, arguments: argparse.Namespace) -> Result:
    return Result("artifacts", context.store.list(arguments.filter or ""))


def _history(context: Context, arguments: argparse.Namespace) -> Result:
    return Result("versions", context.store.history(arguments.name))


def _info(context: Context, arguments: argparse.Namespace) -> Result:
    return Result("info", context.store.info(arguments.name, arguments.version))


def _status(context: Context, _: argparse.Namespace) -> Result:
    return Result("status", context.store.status())


def _nodes(context: Context, _: argparse.Namespace) -> Result:
    return Result("nodes", context.store.nodes())


def _node(context: Context, arguments: argparse.Namespace) -> Result:
    return Result("node", context.store.node(arguments.node))


def _fail(context: Context, arguments: argparse.Namespace) -> Result:
    return _changed(context.store.fail(arguments.node))


def _recover(context: Context, arguments: argparse.Namespace) -> Result:
    return _changed(context.store.recover(arguments.node))


def _drain(context: Context, arguments: argparse.Namespace) -> Result:
    return _changed(context.store.drain(arguments.node))


def _undrain(context: Context, arguments: argparse.Namespace) -> Result:
    return _changed(context.store.undrain(arguments.node))


def _forget(context: Context, arguments: argparse.Namespace) -> Result:
    name = context.store.forget(arguments.node)
    return Result("text", {"node": name}, f"Forgot {name}; if its directory is opened again, it joins as a new node.")


def _changed(node: NodeInfo) -> Result:
    warnings = (node.drain_warning,) if node.drain_warning else ()
    how = node.reason if node.reason.startswith(node.state) else f"{node.state}: {node.reason}"
    return Result("node_info", node, f"{node.name} is {how}.", warnings)


def _scrub(context: Context, arguments: argparse.Namespace) -> Result:
    if arguments.wait and arguments.no_wait:
        raise UsageError("Give --wait or --no-wait, not both.")
    if not (arguments.wait or (context.attended and not arguments.no_wait)):
        asked = context.store.scrub()
        return Result("text", {"nodes": asked}, f"{_asked(asked)}; `status` tells how far they are.")
    steps = context.steps or (lambda _: None)
    progress = context.store.scrub_and_wait(progress=lambda state: steps(_scrub_steps(state)), cancel=context.cancel)
    return Result("text", progress, _scrubbed(progress))


def _fsck(context: Context, arguments: argparse.Namespace) -> Result:
    report = context.store.fsck(
        repair=arguments.repair, deep=arguments.deep, progress=context.steps, cancel=context.cancel
    )
    return Result("fsck", report, _verdict(report), failed=not report.clean)


def _verdict(report: FsckReport) -> str:
    """The report in one sentence."""
    if report.clean:
        return f"Clean: {plural(report.chunks, 'chunk')}, and every one is where it should be."
    unreached = sum(not node.walked and node.state not in ("down", "failed") for node in report.nodes)
    different = sum(node.removed + node.added + node.corrupt for node in report.nodes)
    wrong = [
        (report.missing, "is missing", "are missing", "chunk"),
        (report.under, "is short of replicas", "are short of replicas", "chunk"),
        (report.bad, "was bad when read again", "were bad when read again", "replica"),
        (different, "was not as it should be", "were not as they should be", "file"),
        (len(report.catalog), "in the catalog", "in the catalog", "contradiction"),
        (unreached, "could not be asked", "could not be asked", "storage node"),
    ]
    told = [f"{plural(number, noun)} {one if number == 1 else many}" for number, one, many, noun in wrong if number]
    advice = "" if report.repairs else "; `fsck --repair` does what can be done"
    return f"Not clean: {', '.join(told)}{advice}."


def _asked(nodes: int) -> str:
    return f"Asked {plural(nodes, 'storage node')} to re-read every replica"


def _scrub_steps(state: ScrubProgress) -> Steps:
    return Steps(f"re-reading at {human_bytes(state.bytes_per_s)}/s", state.done, state.total)


def _scrubbed(progress: ScrubProgress) -> str:
    found = f"{plural(progress.bad, 'was', 'were')} bad and {'is' if progress.bad == 1 else 'are'} being replaced"
    read = f"{plural(progress.done, 'replica')} re-read, {found if progress.bad else 'all good'}"
    if progress.finished == progress.nodes:
        return f"{read}."
    if progress.finished + len(progress.away) == progress.nodes:
        return f"{read}; {', '.join(progress.away)} went away before the end."
    return f"{read} so far. The scrub goes on without you; `status` tells how far it is."


def _resume(context: Context, _: argparse.Namespace) -> Result:
    resumed = context.store.resume()
    text = "The NameNode takes changes again." if resumed else "The NameNode did not fail; there is nothing to resume."
    return Result("text", {"resumed": resumed}, text)


def _events(context: Context, arguments: argparse.Namespace) -> Result:
    return Result("events", context.store.events(arguments.since or 0))


def _help(_: Context | None, arguments: argparse.Namespace) -> Result:
    if arguments.verb is None:
        return Result("text", [_facts(verb) for verb in VERBS.values()], _table_of_verbs())
    words = arguments.verb.split()
    found = find(words)
    if found is None or found[1] != len(words):
        raise UsageError(f"There is no verb {arguments.verb!r} to explain; `help` shows them all.")
    return Result("text", [_facts(found[0])], _explained(found[0]))


# --- Help -------------------------------------------------------------------------------------------------------


def _facts(verb: Verb) -> dict[str, Any]:
    return {"name": verb.name, "usage": verb.usage, "summary": verb.summary, "aliases": list(verb.aliases)}


def _table_of_verbs() -> str:
    rows = [(verb.name, verb.summary) for verb in VERBS.values()]
    return "\n".join(
        [
            *_aligned(rows),
            "",
            "`help VERB` explains one. `--json` on any verb prints one JSON document.",
            "Quote words with spaces as in a shell; `--` ends the options.",
        ]
    )


def _explained(verb: Verb) -> str:
    lines = [verb.usage, "", f"{verb.summary[0].upper()}{verb.summary[1:]}."]
    if verb.arguments:
        lines += ["", *_aligned([(argument.label, argument.help) for argument in verb.arguments])]
    if verb.aliases:
        lines += ["", f"Also: {', '.join(verb.aliases)}"]
    if verb.examples:
        lines += ["", "Examples:", *(f"  {example}" for example in verb.examples)]
    return "\n".join(lines)


def _aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]


# --- How verbs are written --------------------------------------------------------------------------------------

_NAME = Argument("name", "name of the artifact", completes=Completes.ARTIFACT)
_NEW_NAME = Argument("name", "name for the artifact: up to 1,024 characters, no control characters")
_NODE = Argument(
    "node", "name or id of a storage node, or the beginning of one; or a host with one node", completes=Completes.NODE
)
_VERSION = Argument("version", "this version instead of the newest", ("--version",), type=_number_from_one, metavar="N")
_CONTENT = (
    Argument("text", "the content itself; quote it if it has spaces", required=False, one_of="content"),
    Argument(
        "file",
        "a file that holds the content; - is standard input",
        ("--file",),
        completes=Completes.PATH,
        type=_path,
        metavar="PATH",
        one_of="content",
    ),
    Argument(
        "replication",
        "copies to keep of each chunk (default 3)",
        ("--replication",),
        type=_number_from_one,
        metavar="N",
    ),
    Argument(
        "chunk_size",
        "cut the content into chunks of this size (default 8MiB)",
        ("--chunk-size",),
        type=_size,
        metavar="BYTES",
    ),
    Argument(
        "keep_versions",
        "keep so many of the newest versions and remove older ones; 0 keeps all (default: as before, at first all)",
        ("--keep-versions",),
        type=_whole_number,
        metavar="N",
    ),
)

_ALL = (
    Verb(
        "upload",
        "store a new artifact",
        (_NEW_NAME, *_CONTENT),
        _upload,
        aliases=("put",),
        mutates=True,
        transfers=True,
        examples=(
            'upload greeting "hello world"',
            "upload model --file weights.pt",
            "upload tiny abcdefgh --chunk-size 4",
        ),
    ),
    Verb(
        "update",
        "store a new version of an artifact",
        (_NAME, *_CONTENT),
        _update,
        mutates=True,
        transfers=True,
        examples=('update greeting "hello again"', "update model --file weights.pt --keep-versions 5"),
    ),
    Verb(
        "get",
        "read an artifact",
        (
            _NAME,
            _VERSION,
            Argument(
                "output",
                "write to this file, whole or not at all; one that is there is replaced, as cp does",
                ("--output",),
                completes=Completes.PATH,
                type=_path,
                metavar="PATH",
            ),
        ),
        _get,
        aliases=("cat",),
        transfers=True,
        json_needs="output",
        examples=("get greeting", "get greeting --version 1", "get model --output weights.pt"),
    ),
    Verb(
        "replicate",
        "change how many copies are kept of what is stored, in all versions of an artifact",
        (_NAME, Argument("replication", "copies to keep of each chunk", type=_number_from_one, metavar="N")),
        _replicate,
        mutates=True,
        examples=("replicate model 2",),
    ),
    Verb("delete", "move an artifact to the trash", (_NAME,), _delete, aliases=("rm",), mutates=True),
    Verb(
        "undelete",
        "bring an artifact back from the trash",
        (Argument("name", "name it had when it was deleted"),),
        _undelete,
        mutates=True,
    ),
    Verb("trash", "show what was deleted and can be brought back", (), _trash),
    Verb(
        "purge",
        "remove an artifact from the trash, for good",
        (Argument("name", "name it had when it was deleted"),),
        _purge,
        mutates=True,
    ),
    Verb(
        "list",
        "show artifacts",
        (
            Argument(
                "filter", "part of the name, or a pattern with * ? [ ]", required=False, completes=Completes.ARTIFACT
            ),
        ),
        _list,
        aliases=("list artifacts", "ls"),
        examples=("list", "list model", "list 'logs/*.jsonl'"),
    ),
    Verb("history", "show all versions of an artifact", (_NAME,), _history),
    Verb("info", "show all about an artifact and where its chunks are", (_NAME, _VERSION), _info),
    Verb("status", "show how the cluster is", (), _status, aliases=("cluster status",)),
    Verb("nodes", "show storage nodes", (), _nodes, aliases=("list nodes", "list storage nodes", "storage nodes")),
    Verb("node", "show all about a storage node", (_NODE,), _node, aliases=("node info",)),
    Verb("fail", "make a storage node stop, as a failure would", (_NODE,), _fail, mutates=True),
    Verb("recover", "let a failed storage node work again", (_NODE,), _recover, mutates=True),
    Verb("drain", "copy everything off a storage node, so that it can be taken away", (_NODE,), _drain, mutates=True),
    Verb("undrain", "take a drain back, finished or not", (_NODE,), _undrain, mutates=True),
    Verb("forget", "strike a storage node that is gone for good off the cluster", (_NODE,), _forget, mutates=True),
    Verb("resume", "let a NameNode that is read-only after failures take changes again", (), _resume, mutates=True),
    Verb(
        "scrub",
        "re-read and check every replica now",
        (
            Argument("wait", "wait until it is done, as it does on a terminal", ("--wait",), switch=True),
            Argument("no_wait", "only ask for it, as it does in a pipe", ("--no-wait",), switch=True),
        ),
        _scrub,
        mutates=True,
        lasts=True,
    ),
    Verb(
        "fsck",
        "compare what the disks hold with what the catalog says they should",
        (
            Argument("repair", "put right what can be, and report what is left", ("--repair",), switch=True),
            Argument("deep", "re-read every replica before", ("--deep",), switch=True),
        ),
        _fsck,
        mutates=True,
        lasts=True,
        examples=("fsck", "fsck --deep", "fsck --repair --json"),
    ),
    Verb(
        "events",
        "show what happened in the cluster",
        (Argument("since", "only events after this number", ("--since",), type=_whole_number, metavar="N"),),
        _events,
    ),
    Verb(
        "help",
        "show all verbs, or explain one",
        (Argument("verb", "the verb to explain", required=False, completes=Completes.VERB, many=True),),
        _help,
        needs_store=False,
        examples=("help", "help upload"),
    ),
    Verb(
        "doctor",
        "look for what is wrong, here and in the cluster if it can be reached, and say what to do; starts nothing",
        (),
        None,
        needs_store=False,
        examples=("doctor", "doctor --json"),
    ),
    Verb("up", "keep a cluster running in the foreground, without the dashboard", (), None, needs_store=False),
    Verb(
        "restore-catalog",
        "put the newest checkpoint in the place of a catalog that was lost, while the cluster is stopped",
        (
            Argument(
                "storage",
                "a storage node's directory, mounted or copied here, or one that holds some as slot-N",
                ("--storage",),
                completes=Completes.PATH,
                type=_path,
                metavar="DIR",
                repeated=True,
            ),
            Argument(
                "older",
                "take an older checkpoint, though one that is newer may be whole with directories that are not named",
                ("--older",),
                switch=True,
            ),
        ),
        None,
        needs_store=False,
        examples=("restore-catalog", "restore-catalog --storage /mnt/one --storage /mnt/two"),
    ),
    Verb("exit", "leave", (), None, aliases=("quit",), needs_store=False),
)

VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _ALL}
"""Every verb by its name, in the order in which help shows them."""

PHRASES: dict[tuple[str, ...], Verb] = {
    tuple(phrase.split()): verb for verb in _ALL for phrase in (verb.name, *verb.aliases)
}
"""Every way to begin a command: names and aliases, cut into words."""

_PHRASE_WORDS_MAX = max(map(len, PHRASES))


def find(words: Sequence[str]) -> tuple[Verb, int] | None:
    """The verb that these words begin with, and how many of them name it; the longest match wins."""
    for length in range(min(_PHRASE_WORDS_MAX, len(words)), 0, -1):
        verb = PHRASES.get(tuple(words[:length]))
        if verb is not None:
            return verb, length
    return None


# --- JSON -------------------------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """Plain lists, dicts, strings and numbers of a Result's value, as the contract names them."""
    assert not isinstance(value, (bytes, bytearray, memoryview)), "bytes have no place in a JSON document"
    if isinstance(value, NodeDetail):
        return {**dataclasses.asdict(value.node), **_without(dataclasses.asdict(value), "node")}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def _without(facts: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != key}
