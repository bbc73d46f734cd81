"""What the author of a rule may have meant: the words that exist, and the nearest one for each that does not."""

import difflib
import functools
from collections.abc import Collection, Iterable
from typing import Literal, TypeGuard, get_args, get_origin

import msgspec
from sigma.correlations import SigmaCorrelationConditionOperator, SigmaCorrelationType
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaStatus

from replguard.events import names
from replguard.events.alert import LEVELS
from replguard.events.catalogue import KINDS
from replguard.events.event import Event

CLOSE = 0.8
"""How alike a word must be to one of ours to be taken for it, where other words are allowed too."""
MODIFIERS = tuple(sorted(modifier_mapping))
STATUSES = tuple(sorted(status.name.lower() for status in SigmaStatus))
TYPES = tuple(kind.name.lower() for kind in SigmaCorrelationType)
OPERATORS = tuple(operator.name.lower() for operator in SigmaCorrelationConditionOperator)
CATEGORIES = tuple(sorted({kind.category for kind in KINDS.values() if kind.category}))
PRODUCTS = ("linux",)
SERVICES = ("replguard",)
LOGSOURCE = ("category", "product", "service", "definition")
CORRELATION = ("type", "rules", "group-by", "timespan", "condition", "aliases", "generate")
TOP = tuple(
    "title id name taxonomy related status description license references tags author date modified fields scope "
    "falsepositives level logsource detection correlation filter replguard".split()
)
FOREIGN_CATEGORIES = frozenset(
    "antivirus api application clipboard_capture create_remote_thread create_stream_hash database dns dns_query "
    "driver_load file_block file_block_shredding file_change file_executable_detected firewall image_load pipe_created "
    "process_tampering process_termination proxy ps_classic_provider_start ps_classic_start ps_module ps_script "
    "raw_access_thread registry_add registry_delete registry_event registry_rename registry_set sysmon_error "
    "sysmon_status webserver wmi_event".split()
)
"""Log sources that Sigma knows and no sensor of ours feeds: a rule about them is not evaluable, and no mistake."""
FOREIGN_FIELDS = frozenset(
    "Archived CallTrace ClientInfo Company Consumer Contents CreationUtcTime Description Destination "
    "DestinationIsIpv6 DestinationPortName Details Device EventID EventType FileVersion Filter GrantedAccess Hash "
    "Hashes ImageLoaded IntegrityLevel IsExecutable LogonGuid NewName NewThreadId Operation ParentProcessName "
    "ParentUser PipeName PreviousCreationUtcTime ProcessCommandLine Product QueryName QueryResults QueryStatus "
    "RuleName Session Signature SignatureStatus Signed SourceHostname SourceImage SourceIsIpv6 SourcePortName "
    "SourceProcessGuid SourceProcessId SourceThreadId SourceUser StartAddress StartFunction StartModule State "
    "TargetImage TargetObject TargetProcessGuid TargetProcessId TargetUser TerminalSessionId UtcTime".split()
)
"""Fields of Sysmon and of Windows that no event of ours has: a rule that asks for one is not evaluable, no mistake."""


def near(word: object, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that is most like this one, or has its letters in another order; None when none is."""
    every = {one.casefold(): one for one in known}
    given = str(word).casefold()
    found = difflib.get_close_matches(given, every, n=1, cutoff=cutoff) or [
        one for one in every if len(one) == len(given) and sorted(one) == sorted(given)
    ]
    return every[found[0]] if found else None


def hint(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the end of a sentence about a word that does not exist: the nearest that does, or nothing."""
    found = near(word, known, cutoff)
    return f", did you mean '{found}'?" if found else ""


def choice(word: object, known: Collection[str]) -> str:
    """Return the end of a sentence about a word that is none of a few: the nearest, or else all of them."""
    return hint(word, known) or f"; it is one of {', '.join(known)}"


def field(name: str) -> str:
    """Return the sentence for a field that no event has, with the nearest that one has."""
    return f"no event has the field '{name}'" + hint(name, [*names.SIGMA, *names.paths()])


def is_slip(name: str) -> bool:
    """Tell whether a field that no event has is one of ours misspelt, rather than one of another log source."""
    known = names.paths() if "." in name else names.SIGMA
    return bool(name) and name not in FOREIGN_FIELDS and near(name, known, CLOSE) is not None


def is_ours(category: object, product: object) -> bool:
    """Tell whether a log source is one that our sensors feed, or one of those misspelt."""
    if not isinstance(category, str) or not isinstance(product, str | None) or category in FOREIGN_CATEGORIES:
        return False
    if category in CATEGORIES and product in {None, *PRODUCTS}:
        return True  # comparing letters takes time, and nearly every rule ends here
    linux = product is None or near(product, PRODUCTS, CLOSE) is not None
    return linux and near(category, CATEGORIES, CLOSE) is not None


AT: dict[tuple[str, ...], tuple[str, ...]] = {
    ("level",): LEVELS,
    ("status",): STATUSES,
    ("correlation", "type"): TYPES,
}
"""Keys whose value is one of a few words."""


@functools.cache
def words(path: str) -> tuple[str, ...] | None:
    """Return the words of which a field of an event always has one; None when it may have any value."""
    kind: object = Event
    for part in path.split("."):
        struct = next((one for one in (kind, *get_args(kind)) if _is_struct(one)), None)
        found = [] if struct is None else [f for f in msgspec.structs.fields(struct) if f.encode_name == part]
        if not found:
            return None
        kind = found[0].type
    chosen = [get_args(one) for one in (kind, *get_args(kind)) if get_origin(one) is Literal]
    return chosen[0] if chosen else None


def _is_struct(kind: object) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
