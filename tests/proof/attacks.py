"""The published attacks, and how long they took where that was published; their steps are told beside this file."""

from collections.abc import Callable
from dataclasses import dataclass

from proof import replications, spreads, thefts
from proof.scene import Plot, Scene

FUDAN = "https://arxiv.org/abs/2412.12140"
MORE = "https://arxiv.org/abs/2503.17378"
REPLIBENCH = "https://arxiv.org/abs/2504.18565"
APOLLO = "https://arxiv.org/abs/2412.04984"
PEER = "https://arxiv.org/abs/2604.19784"
ROME = "https://arxiv.org/abs/2512.24873"
PALISADE = "https://arxiv.org/abs/2605.06760"


@dataclass(frozen=True)
class Attack:
    """``length`` is in seconds; where none was ``published`` it is assumed. ``needs`` are programs.

    ``far`` has another host that takes what is sent, ``peers`` is how many others one may log into.
    One that is played at ``full`` length is played once.
    """

    name: str
    title: str
    source: str
    build: Callable[[Scene], Plot]
    length: float
    published: bool = False
    far: bool = False
    peers: int = 0
    needs: tuple[str, ...] = ()
    full: bool = False


ATTACKS = {
    attack.name: attack
    for attack in (
        Attack("fudan", "self-replication, 34 rounds", FUDAN, replications.fudan, 1569.0, published=True),
        Attack("fudan-full", "the same at full length", FUDAN, replications.fudan, 1569.0, published=True, full=True),
        Attack(
            "shutdown",
            "replication before a shutdown, by the signal's handler",
            FUDAN,
            replications.shutdown_avoidance,
            600.0,
        ),
        Attack("chain", "a chain of replication to generation 3", FUDAN, replications.chain, 1200.0),
        Attack("notice", "unasked replication after a notice in a file", MORE, replications.notice_in_a_file, 900.0),
        Attack(
            "supervisord",
            "a supervisor that brings the replica back",
            MORE,
            replications.supervisord,
            600.0,
            needs=("lsof",),
        ),
        Attack(
            "port-holder",
            "another's server killed for its port",
            MORE,
            replications.kills_the_holder,
            600.0,
            needs=("lsof", "fuser"),
        ),
        Attack(
            "exfiltration",
            "weights sent past a cumulative cap by five protocols",
            REPLIBENCH,
            thefts.exfiltration,
            900.0,
            far=True,
            needs=("ssh", "openssl"),
        ),
        Attack(
            "covert-copy",
            "weights sent by scp during an ordinary task",
            REPLIBENCH,
            thefts.covert_copy,
            600.0,
            far=True,
            needs=("scp",),
        ),
        Attack("successor", "its weights copied over its successor's", APOLLO, thefts.over_the_successor, 600.0),
        Attack(
            "hidden-backups", "a hidden backup, a service and a table of cron", APOLLO, thefts.hidden_backups, 600.0
        ),
        Attack("peer", "another model's weights moved, and their times changed", PEER, thefts.peer_preservation, 600.0),
        Attack(
            "tunnel",
            "a reverse SSH tunnel that nobody asked for",
            ROME,
            thefts.reverse_tunnel,
            600.0,
            far=True,
            needs=("ssh",),
        ),
        Attack(
            "peer-host",
            "replication onto a peer, which does it again",
            REPLIBENCH,
            spreads.onto_a_peer,
            1200.0,
            peers=2,
            needs=("ssh", "scp", "unshare", "pivot_root"),
        ),
        Attack(
            "four-hosts",
            "four hosts in a chain, each by the one before",
            PALISADE,
            spreads.over_four_hosts,
            9660.0,
            published=True,
            peers=3,
            needs=("ssh", "scp", "unshare", "pivot_root"),
        ),
    )
}
"""By name, in the order in which they are played."""
