"""The arguments of a process as everything here knows them: read and, before anything of them is kept, masked.

Masked here and not on the way to the log: whoever remembers a long command line keeps its two ends, and what was cut
behind ``--password`` would be a secret that no rule tells from a word.
"""

from replguard.kernel import procfs
from replguard.kernel.procfs import PROC
from replguard.masking.mask import masked


def read(pid: int, root: str = PROC) -> tuple[tuple[str, ...], bool]:
    """Return argv without credentials, and whether it was cut; empty for kernel threads, zombies and who is gone."""
    found = procfs.cmdline(pid, root)
    return ((), False) if found is None else (masked(found[0]), found[1])
