"""Parts of a model that tell nothing alone, each too small for a match: those that one actor makes add up."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

import msgspec

from replguard.fair import Fair
from replguard.provenance.ledger import Inode
from replguard.provenance.processes import Proc
from replguard.weights.fingerprint import Match

MOST, FILES = 4096, 1024
"""Pairs of actor and model that are remembered, and files of one."""
LARGE, SHARE = 64 * 2**20, 0.05
"""Bytes, or the share of a model, that make a copy (meanings, `weights_copy`)."""


class Fragments:
    """Sums of what was found in the files of one actor."""

    def __init__(self) -> None:
        self._sums: Fair[tuple[str, str], OrderedDict[Inode, int]] = Fair(MOST)

    def found(
        self, key: Inode, actor: Proc | None, traces: Iterable[Match], model_size: Callable[[str], int]
    ) -> Iterator[Match]:
        """Take what was found in a file; yield, with the share of all, each trace that makes its actor's parts a copy.

        Of a file without a known maker nothing is added up: parts of many belong to nobody.
        """
        for trace in traces if actor is not None else ():
            if actor is None or not trace.size:
                continue
            which = actor.entity, trace.model
            files = self._sums.pop(which) or OrderedDict()
            self._sums.put(which, files, actor.entity)
            files.pop(key, None)
            files[key] = max(files.get(key, 0), int(trace.share * trace.size))
            if len(files) > FILES:
                files.popitem(last=False)
            total = sum(files.values())
            if total >= min(LARGE, SHARE * (model_size(trace.model) or trace.size)):
                yield msgspec.structs.replace(trace, share=min(1.0, total / trace.size))
