"""Who is at the far end of a pipe: from whom what a program writes may have come."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from replguard.provenance.processes import MAX_DEPTH, Proc

MOST = 8192
"""Pipes that are remembered; the ones that were joined longest ago are forgotten."""
ENDS = 64
"""Programs at one end of a pipe that are remembered; a service's output is inherited by everything that it starts."""
HOPS = 256
"""Programs of one pipeline that are looked at."""


class Pipes:
    """Knows pipes and socket pairs by what programs had open when they were executed.

    Programs are kept by their entity ids: those that the table of processes has forgotten are forgotten here too.
    """

    def __init__(self, known: Callable[[str], Proc | None]) -> None:
        """``known`` returns a process by its entity id."""
        self.known = known
        self._writers: OrderedDict[int, dict[str, None]] = OrderedDict()
        self._feeders: OrderedDict[str, dict[str, None]] = OrderedDict()
        self._peers: OrderedDict[tuple[str, int], frozenset[str]] = OrderedDict()

    def connected(self, proc: Proc, port: int, peers: Iterable[str]) -> None:
        """Note who listened at a port that a program connected to: he may be gone before it is told what was sent."""
        names = frozenset(peers)
        if names:
            self._peers.pop((proc.entity, port), None)
            self._peers[proc.entity, port] = names
        while len(self._peers) > MOST:
            self._peers.popitem(last=False)

    def peers(self, proc: Proc, port: int) -> frozenset[str]:
        """Return the entity ids of those that a program was connected to at a port."""
        return self._peers.get((proc.entity, port), frozenset())

    def joined(self, source: Proc, sink: Proc) -> None:
        """Note that a program was sent by another what that had: it is the source of it as by a pipe."""
        feeders = self._feeders.pop(program(sink).entity, {})
        self._feeders[program(sink).entity] = feeders
        feeders[program(source).entity] = None
        if len(feeders) > ENDS:
            del feeders[next(iter(feeders))]
        while len(self._feeders) > MOST:
            self._feeders.popitem(last=False)

    def started(self, proc: Proc) -> None:
        """Note the pipes into which a program that was executed just now may write."""
        for pipe in proc.process.pipes_out or ():
            writers = self._writers.setdefault(pipe, {})
            self._writers.move_to_end(pipe)
            writers.pop(proc.entity, None)
            writers[proc.entity] = None
            if len(writers) > ENDS:
                del writers[next(iter(writers))]
        while len(self._writers) > MOST:
            self._writers.popitem(last=False)

    def sources(self, proc: Proc) -> Iterator[tuple[Proc, bool]]:
        """Yield the programs whose output may come to a program, itself first; and whether the kernel tells so.

        Where no program was executed with the other end of a pipe, the one who started the reader made the pipe, and
        may write into it: a library call does so. One that had it itself when it was executed only passed it on.
        """
        seen, ahead = {program(proc): True}, [program(proc)]
        while ahead and len(seen) <= HOPS:
            here = ahead.pop(0)
            yield here, seen[here]
            for source, sure in self._nearest(here):
                if source not in seen:
                    seen[source] = sure and seen[here]
                    ahead.append(source)

    def _nearest(self, reader: Proc) -> Iterator[tuple[Proc, bool]]:
        fed = map(self.known, self._feeders.get(reader.entity, ()))
        yield from ((source, False) for source in fed if source is not None)
        maker = program(reader.parent) if reader.parent is not None else None
        for pipe in reader.process.pipes_in or ():
            found = map(self.known, self._writers.get(pipe, ()))
            others = [writer for writer in found if writer is not None and writer is not reader]
            yield from ((writer, True) for writer in others)
            if not others and maker is not None and not _inherited(pipe, maker):
                yield maker, False


def program(proc: Proc) -> Proc:
    """Return the process that executed the image: a fork that goes on as its parent shares its files and its work."""
    for _ in range(MAX_DEPTH):
        if proc.executed or proc.parent is None:
            break
        proc = proc.parent
    return proc


def _inherited(pipe: int, proc: Proc) -> bool:
    return pipe in (proc.process.pipes_in or ()) or pipe in (proc.process.pipes_out or ())
