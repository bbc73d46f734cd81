"""Where a command begins among words: at first, behind what parts commands in a shell, and behind what runs another."""

import re
from typing import NamedTuple

PLAIN = frozenset(
    "systemctl service rc-service invoke-rc.d initctl loginctl kill pkill killall pgrep pidof fuser lsof rm mv cp"
    " ln dd tee tar sed install shred truncate unlink rmdir mkdir touch chmod chown chgrp chattr mount umount sysctl"
    " auditctl prlimit iptables ip6tables nft ufw journalctl setenforce aa-teardown aa-disable aa-complain"
    " apparmor_parser nvidia-smi rocm-smi crontab at batch shutdown reboot poweroff halt init modprobe rmmod insmod"
    " kexec apt apt-get dpkg dnf yum rpm apk pip pip3 find fd fdfind locate plocate tree ls cat head tail grep scp"
    " sftp split gzip pigz xz zstd lz4 base64 update-rc.d chkconfig rc-update nc ncat netcat".split()
)
"""Programs that take no credential as a word: behind no name do they have one, but an attack has its object there."""
_ENGINES = "docker podman nerdctl kubectl oc"
_ACTS = frozenset("stop kill rm rmi delete drain cordon pause commit save export cp scale apply restart update".split())
"""Verbs of engines with words of no other kind."""


class Wrapper(NamedTuple):
    """A program that runs another: options whose value is the next word, words before the other's name."""

    valued: frozenset[str] = frozenset()
    words: int = 0


def _wrapper(valued: str = "", words: int = 0) -> Wrapper:
    return Wrapper(frozenset(valued.split()), words)


_RUN = _wrapper(
    "-e --env --env-file -u --user -w --workdir -v --volume -p --publish --name --network --net --gpus --entrypoint"
    " --mount --ipc --shm-size --restart -l --label -h --hostname --runtime --device -m --memory --cpus --pull"
    " --platform --ulimit --add-host --cap-add --security-opt -c --container -n --namespace --image",
    words=1,
)
WRAPPERS = {
    **dict.fromkeys(
        "nohup setsid command builtin eval then do else if while until elif ! { busybox".split(), _wrapper()
    ),
    "sudo": _wrapper("-u -g -C -D -h -p -R -r -t -T -U --user --group --host --prompt --chdir --role --type"),
    "doas": _wrapper("-u -C"),
    "env": _wrapper("-u -C --unset --chdir"),
    "timeout": _wrapper("-k -s --kill-after --signal", words=1),
    "nice": _wrapper("-n --adjustment"),
    "ionice": _wrapper("-c -n -p --class --classdata"),
    "xargs": _wrapper("-a -d -E -I -L -n -P -s --max-args --max-procs --delimiter --arg-file --replace"),
    "exec": _wrapper("-a"),
    "time": _wrapper("-f -o --format --output"),
    "stdbuf": _wrapper("-i -o -e"),
    "taskset": _wrapper(words=1),
    "chroot": _wrapper(words=1),
    "flock": _wrapper("-w --timeout", words=1),
    "strace": _wrapper("-e -o -p -s -u"),
    "watch": _wrapper("-n --interval"),
    "systemd-run": _wrapper("-p -u --unit --property --slice --uid --gid -E --setenv"),
    "sshpass": _wrapper("-p -f -d -P"),
    "ssh": _wrapper("-b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w", words=1),
}
_ASSIGNED = re.compile(r"[A-Za-z_]\w*\+?=")
_EXEC = re.compile(r"Exec(?:Start|Stop|Reload|Condition)(?:Pre|Post)?=[@:+!|-]*(/.*)")
"""A unit's line; what follows may be a command all the same, in a shell."""
_TIME = re.compile(r"[\d*][\d*/,-]*|@[a-z]+")
"""Of a table of cron, before the command or a user and the command."""
_CLUSTER = re.compile(r"-[A-Za-z]{1,8}")


class Place:
    """Tells which words stand where a command does, while words go by."""

    def __init__(self) -> None:
        self.plain = False
        """Whether the command takes no credential as a word."""
        self.waiting = True
        """Whether a command is still to come."""
        self._within, self._left = Wrapper(), 0
        self._skips = self._verb = self._timed = False

    def names(self, word: str) -> str | None:
        """Return the name of the program that this word starts, None where it starts none."""
        if not self.waiting:
            return None
        if self._skips:
            self._skips = False
        elif word[:1] == "-":
            self._skips = word in self._within.valued or (
                _CLUSTER.fullmatch(word) is not None and f"-{word[-1]}" in self._within.valued
            )
        elif self._verb:
            self._behind(word)
        elif unit := _EXEC.fullmatch(word):
            return self._started(unit[1], last=False)
        elif _ASSIGNED.match(word):
            pass
        elif not self._left and _TIME.fullmatch(word):
            self._timed = True
        elif self._left:
            self._left -= 1
        else:
            timed, self._timed = self._timed, False
            return self._started(word, last=not timed)
        return None

    def _started(self, word: str, *, last: bool) -> str:
        name = word.strip("'\"`$").rpartition("/")[2]
        wrapper = WRAPPERS.get(name)
        self._verb = name in _ENGINES.split()
        if wrapper is not None:
            self._within, self._left = wrapper, wrapper.words
        self.plain = name in PLAIN
        self.waiting = self._verb or wrapper is not None or not (last or self.plain)
        return name

    def _behind(self, verb: str) -> None:
        """Heed the verb of an engine; ``exec`` and ``run`` name a container before the command."""
        if verb == "compose":
            return
        self._verb = False
        self.waiting = verb in ("exec", "run", "create")
        self.plain = verb in _ACTS
        self._within, self._left = _RUN, _RUN.words
