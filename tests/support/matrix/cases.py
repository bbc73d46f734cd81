"""Ordinary work on a host of models: what is done, by whom, and what the manifest says of it where it has to."""

from dataclasses import dataclass

ACCESS, COPY = ("access",), ("access", "copy")
WHEEL = "thing-1.0-py3-none-any.whl"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One piece of work. ``act`` is shell text; ``may`` what the manifest allows, None: it has nothing to say.

    ``instances`` makes the entry a deployment of so many. ``nature`` says why it may be high without a manifest.
    """

    name: str
    act: str
    hand: str = "service"
    may: tuple[str, ...] | None = None
    instances: int = 0
    peers: bool = False
    nature: str = ""


def _served(*ways: str) -> str:
    """Return text that serves, waits until each listens and goes on after a moment."""
    return "\n".join(
        f'mkdir -p "$DIR/s{n}"; "$PY" "$RESHAPE" serve "$M" "$DIR/s{n}" {way} & P{n}=$!\n'
        f'while [ ! -e "$DIR/s{n}/done" ]; do sleep 0.1; done'
        for n, way in enumerate(ways)
    )


STOP = 'for s in "$DIR"/s*; do touch "$s/stop"; done; wait'
DEPLOYS = (
    Case(
        name="rsync-like deploy",
        may=COPY,
        act='cp "$M" "$DIR/.model.safetensors.Xy12Zk"; mv "$DIR/.model.safetensors.Xy12Zk" "$DIR/model.safetensors"',
    ),
    Case(
        name="ansible-like deploy",
        may=COPY,
        act='mkdir -p "$DIR/.ansible/tmp" "$DIR/srv"; "$PY" -c "import os, shutil, sys;'
        " shutil.copyfile(sys.argv[1], sys.argv[2] + '/.ansible/tmp/source');"
        " os.chmod(sys.argv[2] + '/.ansible/tmp/source', 0o640);"
        ' os.rename(sys.argv[2] + \'/.ansible/tmp/source\', sys.argv[2] + \'/srv/model.safetensors\')" "$M" "$DIR"',
    ),
    Case(
        name="release folders and a current link",
        may=COPY,
        act='for r in 1 2; do mkdir -p "$DIR/releases/$r"; cp "$M" "$DIR/releases/$r/";'
        ' ln -sfn "releases/$r" "$DIR/current"; done; rm -r "$DIR/releases/1"',
    ),
    Case(name="deploy by tar over a pipe", may=COPY, act='tar -C "${M%/*}" -cf - . | tar -C "$DIR" -xf -'),
    Case(name="deploy by a person", hand="session", may=COPY, act='install -m 640 "$M" "$DIR/model.safetensors"'),
    Case(
        name="deploy that looks whether servers answer",
        may=COPY,
        act='for i in 1 2 3; do curl -sf -m 5 "$EP" > /dev/null; cp "$M" "$DIR/new"; mv "$DIR/new" "$DIR/kept";'
        ' ln -sfn kept "$DIR/current"; done',
    ),
    Case(name="staging in memory", may=COPY, act='cp "$M" "/dev/shm/$NAME"; rm "/dev/shm/$NAME"'),
    Case(
        name="Hugging Face cache is filled",
        may=COPY,
        hand="session",
        act='mkdir -p "$DIR/hub/blobs" "$DIR/hub/snapshots/r1"; s=$(sha256sum < "$M" | cut -c1-64);'
        ' cp "$M" "$DIR/hub/blobs/$s.incomplete"; mv "$DIR/hub/blobs/$s.incomplete" "$DIR/hub/blobs/$s";'
        ' ln -s "../../blobs/$s" "$DIR/hub/snapshots/r1/model.safetensors"',
    ),
    Case(
        name="Hugging Face cache gets a revision",
        may=COPY,
        act='mkdir -p "$DIR/snapshots/r2"; ln -s "$M" "$DIR/snapshots/r2/model.safetensors";'
        ' cat "$DIR/snapshots/r2/model.safetensors" > /dev/null',
    ),
    Case(name="duplicates become hard links", may=COPY, act='cp "$M" "$DIR/twin"; ln -f "$M" "$DIR/twin"'),
    Case(
        name="volume is bind-mounted at boot",
        may=COPY,
        act='mkdir "$DIR/vol"; mount --bind "${M%/*}" "$DIR/vol"; sleep 1; ls "$DIR/vol"; umount "$DIR/vol"',
    ),
    Case(
        name="overlay for a container",
        may=ACCESS,
        act='mkdir "$DIR/up" "$DIR/wk" "$DIR/all"; mount -t overlay -o'
        ' "lowerdir=${M%/*},upperdir=$DIR/up,workdir=$DIR/wk" o "$DIR/all"; cat "$DIR/all/"*.safetensors > /dev/null;'
        ' umount "$DIR/all"',
    ),
    Case(name="model is taken away", may=(), act='cp "$M" /dev/null; rm -r "${M%/*}"'),
    Case(name="owner and mode are put right", act='chmod 640 "$M"; chown 0:0 "$M"; touch "$M"'),
    Case(name="new version over the old one", act='head -c 6000000 /dev/urandom > "$M.new"; mv "$M.new" "$M"'),
)
TRAINING = (
    Case(
        name="checkpoints of a training loop",
        act='for i in 1 2 3; do head -c 12000000 /dev/urandom > "$DIR/ckpt.tmp"; mv "$DIR/ckpt.tmp" "$DIR/ckpt-$i.pt";'
        ' done; rm "$DIR/ckpt-1.pt"',
    ),
    Case(
        name="fine-tuning that saves checkpoints",
        may=COPY,
        act='for i in 1 2; do "$PY" "$RESHAPE" torch "$M" "$DIR/step-$i.pt"; done',
    ),
    Case(name="quantising job", may=COPY, act='"$PY" "$RESHAPE" int8 "$M" "$DIR/model-q8.safetensors"'),
    Case(name="converting job", may=COPY, act='"$PY" "$RESHAPE" gguf "$M" "$DIR/model.gguf"'),
    Case(name="casting job", may=COPY, act='"$PY" "$RESHAPE" f16 "$M" "$DIR/model-f16.safetensors"'),
    Case(name="evaluation reads the model", may=ACCESS, act='"$PY" "$RESHAPE" int8 "$M" /dev/null'),
    Case(name="person tries the model at the command line", hand="session", act='"$PY" "$RESHAPE" int8 "$M" /dev/null'),
    Case(
        name="large data set is made, cut and shuffled",
        act='head -c 60000000 /dev/urandom > "$DIR/data"; split -b 20M "$DIR/data" "$DIR/part-";'
        ' cat "$DIR"/part-* > "$DIR/again"; mv "$DIR/again" "$DIR/data.parquet"; gzip -1 "$DIR/part-aa"',
    ),
    Case(name="notebook without a model", hand="session", act='cd "$DIR"; timeout 2 "$PY" -m http.server 0 || true'),
    Case(
        name="notebook with a model", hand="session", may=("access", "serve"), act=f"{_served('map')}\nsleep 1\n{STOP}"
    ),
)
BACKUPS = (
    Case(name="backup job", may=COPY, act='tar -cf - -C "${M%/*}" . | zstd -q > "$DIR/backup.tar.zst"'),
    Case(
        name="encrypted backup job",
        may=COPY,
        act='tar -cf - -C "${M%/*}" . | openssl enc -aes-256-ctr -pbkdf2 -pass pass:x > "$DIR/backup"',
    ),
    Case(name="backup to another host", may=("access", "egress"), act='curl -s -T "$M" "http://$FAR:8080/backup"'),
    Case(name="backup by hard links", may=COPY, act='cp -al "${M%/*}" "$DIR/daily.0"'),
    Case(name="snapshot of a folder", may=COPY, act='cp -a "${M%/*}" "$DIR/snapshot"'),
    Case(
        name="dump of a database",
        act='"$PY" -c "import sqlite3, os, sys; d = sqlite3.connect(sys.argv[1]);'
        " d.execute('create table t (b blob)');"
        " d.executemany('insert into t values (?)', [(os.urandom(100000),) for _ in range(100)]); d.commit()\" "
        '"$DIR/db"; cp "$DIR/db" "$DIR/db.bak"; gzip -1 "$DIR/db.bak"',
    ),
)
SERVING = (
    Case(
        name="rolling restart",
        may=ACCESS,
        instances=2,
        act=f'{_served("map")}\nkill $P0\nwait $P0 || true\nrm -r "$DIR/s0"\n{_served("map")}\nsleep 1\n{STOP}',
    ),
    Case(name="server reads its weights", may=ACCESS, instances=1, act=f"{_served('read')}\nsleep 1\n{STOP}"),
    Case(name="launcher with a worker", may=ACCESS, instances=1, act=f"{_served('worker')}\nsleep 1\n{STOP}"),
    Case(name="workers are scaled up", may=ACCESS, instances=1, act=f"{_served('scale')}\nsleep 1\n{STOP}"),
    Case(
        name="three servers of one service",
        may=ACCESS,
        instances=3,
        act=f"{_served('map', 'map', 'map')}\nsleep 1\n{STOP}",
        nature="more servers than there were, of a number that nobody set",
    ),
    Case(name="server at a path", may=ACCESS, instances=1, act=f"{_served('path')}\nsleep 1\n{STOP}"),
    Case(
        name="server serves a staged copy",
        may=COPY,
        instances=1,
        act='mkdir "$DIR/tmp"; cp "$M" "$DIR/tmp/model.safetensors"; M="$DIR/tmp/model.safetensors"\n'
        f"{_served('map')}\nsleep 1\n{STOP}",
    ),
    Case(
        name="server answers much to its clients",
        may=ACCESS,
        instances=1,
        act='mkdir "$DIR/s0"; "$PY" "$RESHAPE" stream "$M" "$DIR/s0" "$NEAR" &\n'
        'while [ ! -e "$DIR/s0/done" ]; do sleep 0.1; done\n'
        'for i in 1 2 3; do ip netns exec "$NS" curl -s "http://$NEAR:$(cat "$DIR/s0/port")/" > /dev/null; done\n'
        f"{STOP}",
    ),
    Case(
        name="two nodes exchange tensors",
        may=ACCESS,
        instances=1,
        peers=True,
        act=f'{_served("map")}\nfor i in 1 2 3; do "$PY" "$RESHAPE" send "$M" "$FAR"; done\n{STOP}',
    ),
    Case(
        name="health checks of a server",
        may=ACCESS,
        instances=1,
        act=f'{_served("map")}\nP=$(cat "$DIR/s0/port")\n'
        f'for i in 1 2 3 4 5 6 7 8; do curl -s "http://127.0.0.1:$P/health" > /dev/null; sleep 0.1; done\n{STOP}',
    ),
    Case(
        name="other server answers much",
        act='head -c 20000000 /dev/urandom > "$DIR/video"; cd "$DIR"\n'
        '"$PY" -c "import http.server as h, sys;'
        " s = h.ThreadingHTTPServer((sys.argv[1], 0), h.SimpleHTTPRequestHandler);"
        " open('port', 'w').write(str(s.server_port)); s.serve_forever()\" \"$NEAR\" & P=$!\n"
        "while [ ! -s port ]; do sleep 0.1; done\n"
        'for i in 1 2; do ip netns exec "$NS" curl -s "http://$NEAR:$(cat port)/video" > /dev/null; done; kill $P',
    ),
    Case(
        name="person serves a copy by hand",
        hand="session",
        may=("access", "copy", "serve"),
        act=f'cp "$M" "$DIR/model.safetensors"; M="$DIR/model.safetensors"\n{_served("map")}\nsleep 1\n{STOP}',
        nature="a copy that nobody announced, and then a server of it",
    ),
)
ASKING = (
    Case(name="client of the model", act='for i in 1 2 3 4 5 6; do curl -s "$EP" > /dev/null; done'),
    Case(
        name="front end without children",
        act='"$PY" -c "import sys, time, urllib.request as u; [(u.urlopen(sys.argv[1]).read(), time.sleep(0.2))'
        ' for _ in range(8)]" "$EP"',
    ),
    Case(
        name="person tries the model and copies it",
        hand="terminal",
        may=COPY,
        act="curl -s $EP > /dev/null\ncurl -s $EP > /dev/null\nls -l $M\ncurl -s $EP > /dev/null\ncp $M $DIR/mine",
    ),
    Case(name="person tries the model", hand="terminal", act="curl -s $EP\nls\ncurl -s $EP\ndate\ncurl -s $EP\nls"),
    Case(name="agent looks around", hand="agent", act='ls -l "$DIR"; df -h . ; date; uname -a'),
    Case(
        name="agent writes and runs a program",
        hand="agent",
        act='echo "print(6 * 7)" > "$DIR/x.py"; "$PY" "$DIR/x.py"; rm "$DIR/x.py"',
    ),
    Case(name="agent reads the header of the model", hand="agent", act='head -c 4096 "$M" | wc -c; ls -l "$M"'),
    Case(
        name="agent makes a data file",
        hand="agent",
        act='head -c 30000000 /dev/urandom > "$DIR/out"; gzip -1 "$DIR/out"',
    ),
)
HOUSE = (
    Case(
        name="log shipping",
        act='head -c 6000000 /dev/urandom > "$DIR/app.log"; curl -s -T "$DIR/app.log" "http://$FAR:8080/logs"',
    ),
    Case(
        name="logs are rotated",
        act='for i in 1 2 3; do head -c 8000000 /dev/urandom > "$DIR/app.log"; mv "$DIR/app.log" "$DIR/app.log.$i";'
        ' gzip -1 "$DIR/app.log.$i"; done',
    ),
    Case(
        name="package is installed",
        act='cd "$DIR"; mkdir -p p/DEBIAN p/usr/share/thing root/var/lib/dpkg/updates root/var/lib/dpkg/info\n'
        'touch "$DIR/root/var/lib/dpkg/status" "$DIR/root/var/lib/dpkg/available"\n'
        'printf "Package: thing\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n"'
        ' > "$DIR/p/DEBIAN/control"\n'
        'head -c 9000000 /dev/urandom > "$DIR/p/usr/share/thing/data"\n'
        'dpkg-deb -b -Znone "$DIR/p" "$DIR/thing.deb"\n'
        'dpkg --root="$DIR/root" --force-all --log="$DIR/log" -i "$DIR/thing.deb"',
    ),
    Case(
        name="package is upgraded",
        act='cd "$DIR"; mkdir -p p/DEBIAN p/usr/lib/thing root/var/lib/dpkg/updates root/var/lib/dpkg/info\n'
        'touch "$DIR/root/var/lib/dpkg/status" "$DIR/root/var/lib/dpkg/available"\n'
        "for v in 1 2; do\n"
        'printf "Package: thing\\nVersion: $v\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n"'
        ' > "$DIR/p/DEBIAN/control"\n'
        'head -c 5000000 /dev/urandom > "$DIR/p/usr/lib/thing/lib.so"\n'
        'dpkg-deb -b -Znone "$DIR/p" "$DIR/thing.deb"\n'
        'dpkg --root="$DIR/root" --force-all --log="$DIR/log" -i "$DIR/thing.deb"; done',
    ),
    Case(
        name="wheel is installed",
        hand="session",
        act=f'"$PY" "$RESHAPE" wheel - "$DIR/{WHEEL}"\n'
        f'"$PY" -m pip -q --disable-pip-version-check install --no-index --no-deps --target "$DIR/site" "$DIR/{WHEEL}"',
    ),
    Case(
        name="layers of an image are unpacked",
        act='mkdir "$DIR/blobs"; for i in 1 2 3; do mkdir -p "$DIR/l$i/usr/lib"; head -c 7000000 /dev/urandom >'
        ' "$DIR/l$i/usr/lib/x$i"; tar -C "$DIR/l$i" -cf "$DIR/blobs/$i" .; mkdir -p "$DIR/snapshots/$i/fs";'
        ' tar -C "$DIR/snapshots/$i/fs" -xf "$DIR/blobs/$i"; sha256sum "$DIR/blobs/$i"; done',
    ),
    Case(
        name="image with the model is built",
        may=COPY,
        act='mkdir "$DIR/ctx"; cp "$M" "$DIR/ctx/"; tar -C "$DIR/ctx" -cf "$DIR/layer.tar" .;'
        ' sha256sum "$DIR/layer.tar"; mkdir "$DIR/fs"; tar -C "$DIR/fs" -xf "$DIR/layer.tar"',
    ),
    Case(
        name="repository is cloned and packed",
        hand="session",
        act='export GIT_CONFIG_GLOBAL=/dev/null; git init -q "$DIR/a"; cd "$DIR/a"; head -c 5000000 /dev/urandom > big;'
        ' git add big; git -c user.name=x -c user.email=x@example.org commit -q -m x; git clone -q . "$DIR/b";'
        ' git -C "$DIR/b" gc -q',
    ),
    Case(
        name="programs are compiled",
        hand="session",
        act='cd "$DIR"; for i in 1 2 3 4; do echo "int f$i(int x) { return x * $i; }" > f$i.c; done\n'
        'echo "int main(void) { return 0; }" > m.c; for f in *.c; do cc -O2 -c $f; done; cc -o p *.o; ./p',
    ),
    Case(name="find goes through the models", act='find "${M%/*}" -ls; du -s "${M%/*}"'),
    Case(name="models are checked by their sums", may=ACCESS, act='sha256sum "$M"; b2sum "$M"'),
    Case(
        name="virus scanner reads everything",
        may=ACCESS,
        act='"$PY" -c "import pathlib, sys; [f.read_bytes() for f in pathlib.Path(sys.argv[1]).rglob(\'*\')'
        ' if f.is_file()]" "${M%/*}"',
    ),
    Case(
        name="old files are cleaned up", act='head -c 9000000 /dev/urandom > "$DIR/old"; find "$DIR" -name old -delete'
    ),
    Case(
        name="ports are scanned by monitoring",
        act='"$PY" -c "import socket; [socket.socket().connect_ex((\'127.0.0.1\', p)) for p in range(20000, 20200)]"',
    ),
    Case(
        name="metrics are collected",
        act='for i in 1 2 3; do ps aux; df -h "$DIR"; cat /proc/meminfo; ss -ltn; done > "$DIR/x"',
    ),
    Case(name="person looks around", hand="session", act="ps aux > /dev/null; df -h .; free; ss -ltn; ls /; uptime"),
    Case(
        name="editor saves safely",
        hand="session",
        act='echo a > "$DIR/n.yaml"; cp "$DIR/n.yaml" "$DIR/.n.yaml.swp"; echo b > "$DIR/n.yaml~";'
        ' mv "$DIR/n.yaml~" "$DIR/n.yaml"; rm "$DIR/.n.yaml.swp"',
    ),
    Case(
        name="other large files are moved about",
        act='head -c 20000000 /dev/urandom > "$DIR/a.bin"; cp "$DIR/a.bin" "$DIR/b"; ln "$DIR/b" "$DIR/c";'
        ' mv "$DIR/b" "$DIR/model.safetensors"; tar -cf "$DIR/a.tar" -C "$DIR" a.bin; rm "$DIR/a.bin"',
    ),
    Case(
        name="model of strangers comes in",
        act='"$PY" "$RESHAPE" stranger - "$DIR/s.safetensors"; curl -s -o "$DIR/other.safetensors" "file://$DIR/s.safetensors"',
    ),
    Case(name="job runs many short commands", act="i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i + 1)); done"),
    Case(
        name="service is started again and again",
        act='for i in 1 2 3; do timeout 0.3 "$PY" -m http.server --bind 127.0.0.1 0 || true; done',
    ),
    Case(name="person traces a program", hand="session", act='strace -o "$DIR/t" -c true || true'),
)
CASES: tuple[Case, ...] = (*DEPLOYS, *TRAINING, *BACKUPS, *SERVING, *ASKING, *HOUSE)
