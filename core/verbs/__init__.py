"""The registry of shell verbs: names, aliases, arguments, help, effect. There is one parser.

The command bar, the palette, the help screen, the footer and the headless mode all come from here. A verb's `run` calls
the ArtifactStore and returns a Result; drawing it is the caller's business.
"""

from core.verbs.commandline import Invocation, parse, parse_line, split
from core.verbs.completion import Completion, complete
from core.verbs.registry import VERBS, find, to_json
from core.verbs.verb import Argument, Completes, Context, Kind, Result, Verb, Written

__all__ = [
    "VERBS",
    "Argument",
    "Completes",
    "Completion",
    "Context",
    "Invocation",
    "Kind",
    "Result",
    "Verb",
    "Written",
    "complete",
    "find",
    "parse",
    "parse_line",
    "split",
    "to_json",
]
