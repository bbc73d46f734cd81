"""What is done on an ordinary day of an inference host: by whom, at which hours, how often, and in which ways."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from support.matrix import cases

Text = Callable[[random.Random], str]
ACCESS, COPY = cases.ACCESS, cases.COPY


@dataclass(frozen=True, kw_only=True)
class Work:
    """A kind of work. ``hours`` are those in which it is begun, ``times`` how often on a day, least and most.

    ``text`` draws the shell text of one act; ``may`` is what the manifest allows its service on the models that it
    is about: those that are served, those of people, or (empty) none.
    """

    name: str
    text: Text
    hours: tuple[float, float] = (0.0, 24.0)
    times: tuple[int, int] = (1, 2)
    hand: str = "service"
    may: tuple[str, ...] = ()
    about: str = ""


def _one(*texts: str) -> Text:
    return lambda dice: dice.choice(texts)


def _case(name: str) -> Text:
    return _one(next(case.act for case in cases.CASES if case.name == name))


def copied(dice: random.Random, source: str, target: str) -> str:
    """Return text that copies a file in one of the ways that tools have."""
    return dice.choice(
        (
            f'cp "{source}" "{target}"',
            f'cp --preserve=all --reflink=auto "{source}" "{target}.part"; mv "{target}.part" "{target}"',
            f'install -m 640 "{source}" "{target}"',
            f'dd if="{source}" of="{target}" bs=1M status=none; touch -r "{source}" "{target}"',
            f'"$PY" -c "import shutil, sys; shutil.copy2(sys.argv[1], sys.argv[2])" "{source}" "{target}"',
            f'curl -s -o "{target}" "file://{source}"',
        )
    )


def _deploy(dice: random.Random) -> str:
    """A release: copied, its sums compared, made the current one, older ones removed; then its server is asked."""
    release = f"$SHARED/srv/$WHAT/releases/{dice.randrange(10**6):06}"
    sums = dice.choice(("sha256sum", "b2sum", "md5sum"))
    return "\n".join(
        (
            f'R="{release}"; mkdir -p "$R"; {copied(dice, "$M", "$R/model.safetensors")}',
            f'{sums} < "$M" > "$DIR/a"; {sums} < "$R/model.safetensors" > "$DIR/b"; cmp "$DIR/a" "$DIR/b"',
            'ln -sfn "$R" "$SHARED/srv/$WHAT/current"',
            f'ls -d "$SHARED/srv/$WHAT/releases/"* | sort | head -n -{dice.randint(1, 2)} | xargs -r rm -r',
            _asked(dice, dice.randint(2, 5)),
        )
    )


def _asked(dice: random.Random, times: int) -> str:
    """Ask every server for its health so often."""
    look = dice.choice(
        (
            'curl -sf -m 5 "$U/health" > /dev/null || true',
            'curl -s -m 5 -o /dev/null -w "%{http_code}" "$U/healthz" > "$DIR/code" || true',
            'wget -q -T 5 -t 1 --spider "$U/v1/models" || true',
            'curl -s -m 5 "$U/health" | grep -q hello || true',
        )
    )
    ask = f'U="http://127.0.0.1:$(cat "$p")"; {look}'
    return (
        f'for i in $(seq {times}); do for p in "$SHARED/ports/"*; do [ -e "$p" ] || continue; {ask}; done;'
        f" sleep {dice.uniform(0.1, 0.4):.1f}; done"
    )


def _backup(dice: random.Random) -> str:
    name = f"$SHARED/backup/{dice.choice(('nightly', 'models', 'full'))}-{dice.randrange(10**4)}"
    packed = dice.choice(("zstd -q -1", "gzip -1", "openssl enc -aes-256-ctr -pbkdf2 -pass pass:x", "cat"))
    made = dice.choice(
        (
            f'tar -cf - -C "$MODELS" . | {packed} > "{name}.new"; mv "{name}.new" "{name}"',
            f'tar -cf "{name}" -C "$MODELS" .',
            f'cp -al "$MODELS" "{name}.d"',
            f'tar -cf - -C "$MODELS" . | split -b 7M - "{name}.part-"; cat "{name}".part-* | sha256sum',
            f'tar -cf - -C "$MODELS" . | {packed} | curl -s -T - "http://$FAR:8080/backup"',
        )
    )
    old = 'find "$SHARED/backup" -mindepth 1 -maxdepth 1 -mmin +1 | sort | head -n -1 | xargs -r rm -r'
    return f"{made}\n{old}"


def _download(dice: random.Random) -> str:
    """Fetch a file from afar that breaks off and is resumed, then check it."""
    parts = sorted(dice.sample(range(1, 11), dice.randint(1, 3)))
    cut = "".join(f'curl -s -m 30 -C - -r 0-{n}000000 -o "$DIR/w.part" "$UP/$FILE" || true\n' for n in parts)
    tool = dice.choice(('curl -s -C - -o "$DIR/w.part" "$UP/$FILE"', 'wget -q -c -O "$DIR/w.part" "$UP/$FILE"'))
    return f'{cut}{tool}\nsha256sum "$DIR/w.part"; mv "$DIR/w.part" "$DIR/{_name(dice)}"'


def _name(dice: random.Random) -> str:
    return dice.choice(("pytorch_model.bin", "model.safetensors", "weights.gguf", "adapter.safetensors", "dump.bin"))


def _logs(dice: random.Random) -> str:
    keep, size = dice.randint(2, 4), dice.randint(2, 8)
    pack = dice.choice(("gzip -1", "zstd -q --rm", "xz -0"))
    turn = dice.choice(('mv "$L" "$L.1"; : > "$L"', 'cp "$L" "$L.1"; truncate -s 0 "$L"'))
    return (
        f'L="$SHARED/log/$NAME.log"; head -c {size}000000 /dev/urandom | base64 > "$L"; rm -f "$L".1*; {turn}\n'
        f'{pack} "$L.1"; ls "$SHARED/log" | sort | head -n -{keep * 4} | while read -r f; do rm "$SHARED/log/$f"; done'
    )


def _ci(dice: random.Random) -> str:
    """Check out, compile, test, pack: in an order of its own, as jobs have."""
    units = dice.randint(2, 6)
    steps = [
        (
            f'mkdir "$DIR/c"; cd "$DIR/c"; for i in $(seq {units}); do echo "int f$i() {{ return 1; }}" > $i.c; done;'
            f" for f in *.c; do cc -O{dice.randint(0, 2)} -c $f; done; ar r l.a *.o; cd -"
        ),
        f"i=0; while [ $i -lt {dice.randint(20, 150)} ]; do /bin/true; i=$((i + 1)); done",
        'printf "def test_x():\\n    assert True\\n" > "$DIR/test_x.py"; "$PY" "$DIR/test_x.py"; rm "$DIR/test_x.py"',
        f'head -c {dice.randint(3, 12)}000000 /dev/urandom > "$DIR/data"; tar -czf "$DIR/a.tgz" -C "$DIR" data',
        (
            'mkdir "$DIR/l"; head -c 4000000 /dev/urandom > "$DIR/l/x"; tar -cf "$DIR/l.tar" -C "$DIR/l" .;'
            ' sha256sum "$DIR/l.tar"; curl -s -T "$DIR/l.tar" "http://$FAR:8080/registry"'
        ),
        '(cd "$DIR"; timeout 1 "$PY" -m http.server --bind 127.0.0.1 0 || true)',
    ]
    dice.shuffle(steps)
    clone = (
        'export GIT_CONFIG_GLOBAL=/dev/null; git init -q "$DIR/g"; head -c 2000000 /dev/urandom > "$DIR/g/big";'
        ' git -C "$DIR/g" add big; git -C "$DIR/g" -c user.name=x -c user.email=x@example.org commit -q -m x;'
        ' git clone -q "$DIR/g" "$DIR/src"'
    )
    return "\n".join([clone, *steps[: dice.randint(3, len(steps))], 'rm -rf "$DIR/g" "$DIR/src"'])


def _notebook(dice: random.Random) -> str:
    """A kernel that reads the model and saves what came of it, with the notebook's own server beside it."""
    saves = dice.randint(1, 4)
    steps = [
        '"$PY" "$RESHAPE" int8 "$M" /dev/null',
        f'for i in $(seq {saves}); do echo "{{}}" > "$DIR/.~n"; mv "$DIR/.~n" "$DIR/n.ipynb"; sleep 0.3; done',
        'mkdir -p "$DIR/.ipynb_checkpoints"; cp "$DIR/n.ipynb" "$DIR/.ipynb_checkpoints/" || true',
        f'head -c {dice.randint(2, 20)}000000 /dev/urandom > "$DIR/frame.parquet"',
        'curl -s "$EP" > /dev/null',
    ]
    dice.shuffle(steps)
    server = f'(cd "$DIR"; timeout {dice.randint(3, 8)} "$PY" -m http.server --bind 127.0.0.1 0 || true) &'
    return "\n".join([server, *steps, "wait"])


def _person(dice: random.Random) -> str:
    looks = [
        "ps aux", "df -h", "free", "ss -ltnp", "uptime", "ls -la $MODELS", "du -sh $MODELS", "who || true",
        "dmesg || true",
        "cat /proc/loadavg", "tail -n 3 $SHARED/log/* || true", "curl -s $EP", "git --version", "env", "id",
        "echo 'a: 1' > $DIR/x.yaml; cp $DIR/x.yaml $DIR/x.yaml~; mv $DIR/x.yaml~ $DIR/x.yaml", "date", "ls -l $M",
        "head -c 512 $M | od -c | head -n 3", "find $MODELS -name '*.safetensors' -size +1M", "stat $M",
    ]  # fmt: skip
    return "\n".join(dice.sample(looks, dice.randint(4, 9)))


def _agent(dice: random.Random) -> str:
    """An assistant that is welcome: reads logs, mends programs, tests them, makes files."""
    jobs = [
        'tail -c 2000 "$SHARED"/log/* | sort | uniq -c | sort -rn | head -n 5 || true',
        'echo "print(6 * 7)" > "$DIR/x.py"; "$PY" "$DIR/x.py"; sed -i "s/7/8/" "$DIR/x.py"; "$PY" "$DIR/x.py"',
        ('git init -q "$DIR/w"; echo a > "$DIR/w/a"; git -C "$DIR/w" add a;'
        ' git -C "$DIR/w" -c user.name=x -c user.email=x@example.org commit -q -m x; git -C "$DIR/w" log --stat'),
        'grep -rn model "$DIR" | head; find "$DIR" -name "*.py"; ls -la "$DIR"',
        "df -h .; free; date; uname -a; uptime", 'ls -l "$M"; head -c 4096 "$M" | wc -c',
        f'head -c {dice.randint(3, 30)}000000 /dev/urandom > "$DIR/out"; gzip -1 "$DIR/out"',
        'echo "int main(void) { return 0; }" > "$DIR/m.c"; cc -o "$DIR/m" "$DIR/m.c"; "$DIR/m"',
        'curl -s -o "$DIR/page" "$EP"; "$PY" -c "import json; print(json.dumps({}))"',
        '"$PY" -m venv --without-pip "$DIR/env"; "$DIR/env/bin/python" -c "print(1)"',
    ]  # fmt: skip
    return "\n".join(dice.sample(jobs, dice.randint(3, 6)))


def _chunks(dice: random.Random) -> str:
    """Read as a backup that keeps chunks by their sums: what it has already is not written again."""
    return (
        f'mkdir -p "$SHARED/chunks"; "$PY" -c "import hashlib, pathlib, sys\n'
        "for file in pathlib.Path(sys.argv[1]).rglob('*.safetensors'):\n"
        "    with file.open('rb') as data:\n"
        f"        while part := data.read({dice.choice((1, 2, 4))} << 20):\n"
        "            kept = pathlib.Path(sys.argv[2], hashlib.sha256(part).hexdigest())\n"
        "            if not kept.exists():\n"
        '                kept.write_bytes(part)" "$MODELS" "$SHARED/chunks"\n'
        'find "$SHARED/chunks" -type f -mmin +2 -delete'
    )


def _tuned(dice: random.Random) -> str:
    """Read a model, save checkpoints of it, keep the last ones."""
    kinds = [dice.choice(("torch", "f16", "npz", "gguf")) for _ in range(dice.randint(1, 3))]
    saves = [f'"$PY" "$RESHAPE" {kind} "$M" "$DIR/step-{n}"' for n, kind in enumerate(kinds)]
    return "\n".join([*saves, 'ls "$DIR"/step-* | head -n -1 | xargs -r rm'])


def _experiment(dice: random.Random) -> str:
    """A person's own experiment with a model of people."""
    return "\n".join(
        (
            copied(dice, "$M", f"$DIR/{_name(dice)}"),
            f'"$PY" "$RESHAPE" {dice.choice(("int8", "f16", "gguf"))} "$M" "$DIR/other"; ls -l "$DIR"; rm "$DIR/other"',
        )
    )


def _certificates(_: random.Random) -> str:
    return (
        'openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=example.org -days 30 -keyout "$DIR/key.new"'
        ' -out "$DIR/crt.new"; chmod 600 "$DIR/key.new"; mv "$DIR/key.new" "$DIR/key"; mv "$DIR/crt.new" "$DIR/crt"'
    )


def _index(_: random.Random) -> str:
    return 'find "$SHARED" "$MODELS" -xdev -printf "%p %s\\n" | sort > "$DIR/db.new"; mv "$DIR/db.new" "$SHARED/locate"'


def _metrics(dice: random.Random) -> str:
    looks = [
        "ps aux",
        "df -h",
        "ss -ltn",
        "cat /proc/meminfo",
        "ls /proc/self/fd",
        "cat /proc/net/dev",
        "du -s $MODELS",
    ]
    every = dice.sample(looks, dice.randint(3, 6))
    return (
        f'for i in $(seq {dice.randint(1, 4)}); do {{ {"; ".join(every)}; }} > "$DIR/x"; done; mv "$DIR/x" "$DIR/prom"'
    )


def _asks(dice: random.Random) -> str:
    return (
        f'for i in $(seq {dice.randint(4, 20)}); do curl -s "$EP" > /dev/null; sleep {dice.uniform(0, 0.3):.1f}; done'
    )


HEALTH, ASK, BUILD, NIGHT, OFFICE = (0.0, 24.0), (8.0, 19.0), (7.0, 20.0), (0.5, 5.0), (9.0, 18.0)
SERVED, PEOPLE = "served", "people"
WORK = (
    Work(name="health check", text=lambda dice: _asked(dice, dice.randint(1, 3)), hours=HEALTH, times=(14, 24)),
    Work(name="metrics collector", text=_metrics, hours=HEALTH, times=(8, 12)),
    Work(name="deploy", text=_deploy, hours=(7.0, 11.0), times=(2, 4), may=COPY, about=SERVED),
    Work(name="nightly backup", text=_backup, hours=NIGHT, times=(1, 2), may=(*COPY, "egress"), about=SERVED),
    Work(name="chunked backup", text=_chunks, hours=NIGHT, times=(1, 1), may=COPY, about=SERVED),
    Work(name="checksum audit", text=_one('sha256sum "$MODELS"/*/*.safetensors > "$DIR/s"; sha256sum -c "$DIR/s"',
         'find "$MODELS" -type f -exec md5sum {} +', '"$PY" "$RESHAPE" int8 "$M" /dev/null; cksum "$M"'),
         hours=NIGHT, times=(1, 2), may=ACCESS, about=SERVED),
    Work(name="virus scanner", text=_case("virus scanner reads everything"), hours=NIGHT, may=ACCESS, about=SERVED),
    Work(name="log rotation", text=_logs, hours=(0.0, 7.0), times=(2, 4)),
    Work(name="log shipping", text=_case("log shipping"), times=(2, 5)),
    Work(name="database dump", text=_case("dump of a database"), hours=NIGHT),
    Work(name="certificate renewal", text=_certificates, hours=NIGHT),
    Work(name="file index", text=_index, hours=NIGHT),
    Work(name="package upgrade", text=_case("package is upgraded"), hours=(4.0, 9.0), times=(1, 2)),
    Work(name="package install", text=_case("package is installed"), hours=OFFICE, times=(0, 2)),
    Work(name="wheel install", text=_case("wheel is installed"), hours=OFFICE, hand="session", times=(1, 3)),
    Work(name="CI job", text=_ci, hours=BUILD, times=(6, 10)),
    Work(name="image unpack", text=_case("layers of an image are unpacked"), hours=BUILD, times=(1, 3)),
    Work(name="image build", text=_case("image with the model is built"), hours=BUILD, may=COPY, about=SERVED),
    Work(name="download", text=_download, hours=OFFICE, hand="session", times=(2, 4)),
    Work(name="download job", text=_download, hours=(5.0, 22.0), times=(1, 3)),
    Work(name="cache prefetch", text=_one('cat "$M" > /dev/null', 'dd if="$M" of=/dev/null bs=4M status=none'),
         hours=(6.0, 12.0), times=(1, 3), may=ACCESS, about=SERVED),
    Work(name="quantising job", text=_tuned, hours=(10.0, 23.0), times=(1, 3), may=COPY, about=SERVED),
    Work(name="evaluation", text=lambda dice: f'"$PY" "$RESHAPE" int8 "$M" /dev/null\n{_asks(dice)}',
         hours=(18.0, 23.0), times=(1, 3), may=ACCESS, about=SERVED),
    Work(name="training without models", text=_case("checkpoints of a training loop"), times=(1, 3)),
    Work(name="data preparation", text=_case("large data set is made, cut and shuffled"), times=(1, 2)),
    Work(name="front end", text=_asks, hours=ASK, times=(4, 8)),
    Work(name="notebook", text=_notebook, hours=OFFICE, hand="session", times=(2, 4), about=PEOPLE),
    Work(name="experiment", text=_experiment, hours=OFFICE, hand="session", times=(1, 2), about=PEOPLE),
    Work(name="person at a shell", text=_person, hours=OFFICE, hand="terminal", times=(3, 6), about=PEOPLE),
    Work(name="compiling", text=_case("programs are compiled"), hours=OFFICE, hand="session", times=(1, 3)),
    Work(name="repository", text=_case("repository is cloned and packed"), hours=OFFICE, hand="session", times=(1, 2)),
    Work(name="editor", text=_case("editor saves safely"), hours=OFFICE, hand="session", times=(1, 4)),
    Work(name="assistant", text=_agent, hours=OFFICE, hand="agent", times=(3, 6), about=PEOPLE),
    Work(name="port scan by monitoring", text=_case("ports are scanned by monitoring"), times=(1, 2)),
    Work(name="clean-up", text=_case("old files are cleaned up"), hours=NIGHT, times=(1, 3)),
)  # fmt: skip
