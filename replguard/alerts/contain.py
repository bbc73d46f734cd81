"""Commands that contain the act, to paste and never executed by replguard; the most precise one first."""

import ipaddress
import math
import re
import shlex
from collections.abc import Iterator

from replguard.alerts.story import Story

MOST_PIDS = 16
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+\.(?:service|scope)")
_CONTAINER = re.compile(r"[0-9a-f]{12,64}")
_PAUSE = {"podman": "podman pause", "containerd": "ctr -n k8s.io tasks pause", "cri-o": "crictl stop"}


def commands(story: Story) -> tuple[str, ...]:
    """Return the commands, every value quoted for a shell. Empty where nothing can be named."""
    return tuple(dict.fromkeys((*_stop(story), *_freeze(story), *_pause(story), *_block(story))))


def _stop(story: Story) -> Iterator[str]:
    """Stop the processes that the alert names.

    A pid may be someone else's by the time the command is pasted: it is only stopped when the process that has it
    began before the act.
    """
    before = math.ceil(story.completing.timestamp.timestamp()) + 1
    pids: list[int] = []
    if story.actor is not None and story.actor.agent and story.actor.pid is not None:
        pids.append(story.actor.pid)
    # Of a sequence the last act may be another program's than the fact that tells most: the upload after the read.
    acting = (event.process for event in (story.completing, story.main))
    pids += [process.pid for process in acting if process is not None and process.pid is not None]
    instance = story.context(lambda context: context.instance)
    pids += instance.pids if instance is not None else ()
    for pid in list(dict.fromkeys(pids))[:MOST_PIDS]:
        if pid > 1:
            yield f'test "$(date -d "$(LC_ALL=C ps -o lstart= -p {pid})" +%s)" -le {before} && kill -STOP {pid}'


def _freeze(story: Story) -> Iterator[str]:
    key = story.context(lambda context: context.unit)
    unit = (key or "").partition("/")[0]
    actor = story.actor
    if not _UNIT.fullmatch(unit) and actor is not None and actor.kind in ("service", "timer"):
        unit = actor.principal.partition(":")[2]
    if _UNIT.fullmatch(unit):
        yield f"systemctl freeze -- {shlex.quote(unit)}"


def _pause(story: Story) -> Iterator[str]:
    container = story.find(lambda event: event.container)
    if container is not None and container.id and _CONTAINER.fullmatch(container.id):
        yield f"{_PAUSE.get(container.runtime or '', 'docker pause')} {container.id}"


def _block(story: Story) -> Iterator[str]:
    if story.completing.action not in ("weights_egress", "network_connection", "network_volume"):
        return
    end = story.find(lambda event: event.destination)
    try:
        address = ipaddress.ip_address(end.ip or "" if end is not None else "")
    except ValueError:
        return
    family = "ip6" if address.version == 6 else "ip"
    ruleset = (
        "add table inet replguard_block;"
        " add chain inet replguard_block out { type filter hook output priority 0; };"
        f" add rule inet replguard_block out {family} daddr {str(address).partition('%')[0]} drop"
    )
    yield f"nft {shlex.quote(ruleset)}"
