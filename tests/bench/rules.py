"""What rules cost: recorded events through decode, match and correlate, as `replguard replay` does it. Needs no root.

The rules are the shipped ones and SigmaHQ's for Linux where the folder lies beside the checkout. The events are written
by provenance itself from the stories of ordinary hosts and of replications, the same each time.
"""

import gc
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import zircolite
from bench.host import ROOT, Lacking, Say, spread
from sigma.rule import SigmaRule
from support.story import MIB, START, Host
from support.story import ROOT as SUPER

from replguard.alerts.manager import Manager
from replguard.config import Config
from replguard.detector import Detector
from replguard.events import wire
from replguard.events.event import Event, Meta
from replguard.events.health import Health
from replguard.events.network import Network
from replguard.events.process import Parent, Process
from replguard.log import reader
from replguard.log.sequence import Sequencer
from replguard.provenance.processes import Proc
from replguard.rules.index import Index
from replguard.rules.load import load
from replguard.rules.model import Rule, RuleSet

CORPUS = ROOT.parent / "shared" / "corpora" / "sigma"
BOOT = "b" * 32
FEW = 122
"""Rules that larger sets are compared with."""
WORDS = "main index backup server nginx metrics weights report data session queue worker node build cache test".split()
COMMANDS = (
    (20, "bash", "-c {w} && {v}"),
    (10, "ls", "-la /srv/{w}/{n}"),
    (10, "git", "-C /home/ann/{w} commit -m fix-{n}"),
    (20, "python3.11", "/opt/{w}/{v}.py --port {n} --config /etc/{w}/{v}.yaml"),
    (40, "gcc", "-O2 -Wall -I/usr/include/{w} -c /home/ann/{w}/{v}{n}.c -o {v}{n}.o"),
    (30, "grep", "-rn {w}{n} /var/log/{v}"),
    (20, "sed", "-i s/{w}/{v}/ /home/ann/{v}/{n}.conf"),
    (20, "dash", "-c test -f /run/{w}.pid && kill -0 {n}"),
    (20, "cat", "/proc/{n}/status"),
    (5, "curl", "-sS http://127.0.0.1:{n}/{w}"),
    (5, "systemctl", "is-active {w}.service"),
    (10, "sleep", "{n}"),
    (2, "rsync", "-a /srv/{w}/ backup@10.0.0.9:/backup/{v}/{n}"),
    (1, "nvidia-smi", "--query-gpu=memory.used --format=csv,noheader -i {n}"),
    (10, "mawk", "/{w}/ {{ sum += $1 }} END {{ print sum }}"),
)
"""Of so many programs each: image and arguments."""


def told(count: int) -> Iterator[Event]:
    """Yield so many recorded events, stamped as the pipeline does."""
    chance, stamp = random.Random(5), Sequencer(BOOT, 1).stamp
    host = Host()
    yielded, second = 0, START
    for _ in _life(host, chance):
        events, host.events = host.events, []
        host.facts.clear()
        if (host.now - second).total_seconds() >= 1:
            second = host.now
            health = Health(component="clock", state="tick")
            events.append(Event(timestamp=second, event=Meta(action="sensor_health"), health=health))
        for event in events:
            yield stamp(event)
            yielded += 1
            if yielded == count:
                return


def _life(host: Host, chance: random.Random) -> Iterator[None]:
    """Let a host live: programs of people, services and jobs, now and then a replication."""
    origin = host.protect()
    actors = [host.service("nginx", "nginx", "-g daemon"), host.service("cron", "cron", "-f"), host.login()]
    recorded, shares = list(_recorded()), [share for share, _, _ in COMMANDS]
    for turn in range(10**9):
        parent = chance.choice(actors)
        _, image, args = chance.choices(COMMANDS, shares)[0]
        words = {"w": chance.choice(WORDS), "v": chance.choice(WORDS), "n": chance.randrange(10_000)}
        proc = host.exec(image, args.format(**words), parent=parent)
        _acts(host, chance, proc, words)
        host.exit(proc)
        if turn % 20 == 0 and recorded:
            _like(host, actors[-1], *recorded[turn // 20 % len(recorded)])
        if turn % 500 == 0:
            thief = host.login()
            host.copy(origin, f"/tmp/{words['w']}{turn}.bin", host.exec("cp", "-r", parent=thief))
            host.listen(host.exec("python3", "-m vllm", parent=thief), f"0.0.0.0:{8000 + turn % 1000}")
            actors = [*actors[-9:], thief]
        yield


def _acts(host: Host, chance: random.Random, proc: Proc, words: dict[str, Any]) -> None:
    """Let a program do what one of its kind does."""
    if chance.random() < 0.4:
        host.write("/var/lib/{w}/{v}-{n}.tmp".format(**words), chance.randrange(MIB), proc)
    if chance.random() < 0.2:
        host.connect(proc, chance.choice([80, 443, 5432, 8000]), ip=chance.choice(["127.0.0.1", "10.0.0.9"]))


def _like(host: Host, parent: Proc, image: str, command: str) -> None:
    """Start a program with the words of an event of the corpus."""
    host.exit(host.exec(image.replace("\\", "/"), (command,), parent=parent))


def _recorded() -> Iterator[tuple[str, str]]:
    """Yield image and command line of the events that SigmaHQ recorded for its rules."""
    for file in sorted(CORPUS.glob("regression/*/event.json")):
        found, _ = json.JSONDecoder().raw_decode(file.read_text("utf-8").lstrip())
        found = found[0] if isinstance(found, list) else found
        data = found.get("Event", found).get("EventData")
        if isinstance(data, dict) and data.get("Image") and data.get("CommandLine"):
            yield str(data["Image"]), str(data["CommandLine"])


def once(file: Path, ruleset: RuleSet) -> float:
    """Return the CPU seconds of a replay, without that of compiling the rules."""
    detector = Detector(ruleset, Manager(Config(), None))
    gc.collect()
    began = time.thread_time()
    for item in reader.events([file]):
        if isinstance(item, Event):
            detector.feed(item)
    return time.thread_time() - began


def decoding(file: Path) -> float:
    """Return the CPU seconds of reading and decoding alone."""
    began = time.thread_time()
    for _ in reader.events([file]):
        pass
    return time.thread_time() - began


def many(rules: list[Rule], count: int) -> RuleSet:
    """Return so many rules: those given, then the same with other texts to look for, their programs unchanged."""
    made: list[Rule] = []
    for number in range(count):
        rule = rules[number % len(rules)]
        turn = number // len(rules)
        made.append(rule if not turn else _other(rule, turn))
    return RuleSet(rules=made)


def _other(rule: Rule, turn: int) -> Rule:
    document = rule.sigma.to_dict()
    document.pop("id", None)
    detection = document["detection"]
    alone = not any(_looks(key) for value in detection.values() for key in _keys(value))
    for name, value in detection.items():
        if name != "condition":
            detection[name] = _changed(value, turn, always=alone)
    sigma = SigmaRule.from_dict(document)
    return replace(rule, name=f"{rule.name}-{turn}", id=f"{rule.id}-{turn}", sigma=sigma)


def _keys(value: Any) -> list[str]:
    if isinstance(value, list):
        return [key for one in value for key in _keys(one)]
    return list(value) if isinstance(value, dict) else [""]


def _looks(key: str) -> bool:
    """Tell whether a key is of what changes from rule to rule; programs are the same ones."""
    return not key.startswith(("Image", "ParentImage", "User", "Initiated", "DestinationPort")) and "|re" not in key


def _changed(value: Any, turn: int, *, always: bool, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _changed(inner, turn, always=always, key=name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_changed(one, turn, always=always, key=key) for one in value]
    if not isinstance(value, str) or not (always or _looks(key)) or "|re" in key or "|cidr" in key:
        return value
    stem = value.rstrip("*")
    return f"{stem}{_name(turn)}{value[len(stem) :]}" if stem else value


def _name(turn: int) -> str:
    return "".join(chr(97 + turn // 26**place % 26) for place in range(2)) + "q"


def crafted(index: Index) -> Event:
    """Return the start of a program whose command line holds a text of every rule that looks for one in it."""
    table = index._tables["process_exec"]
    texts = {text for signs in table.wanted.values() for _, text in signs.inside}
    whole = " ".join(sorted(texts))
    parent = Parent(pid=1, executable="/usr/bin/bash", command_line=whole)
    process = Process(pid=2, executable="/usr/bin/python3", command_line=whole, working_directory=whole, parent=parent)
    network = Network(transport="tcp", initiated=True)
    return Event(timestamp=START, event=Meta(action="process_exec"), process=process, user=SUPER, network=network)


def least(index: Index, event: Event, repeats: int) -> float:
    """Return the microseconds of the quickest of several turns, each with a new event: no answer is remembered."""
    line, found = wire.encode(event), []
    for _ in range(repeats):
        fresh = wire.event(line)
        began = time.thread_time()
        index.matches(fresh)
        found.append(time.thread_time() - began)
    return min(found) * 1e6


def run(say: Say, *, short: bool) -> dict[str, Any]:
    """Return events a second with the shipped rules and SigmaHQ's, what more rules cost, and the worst event."""
    count, repeats = (20_000, 3) if short else (120_000, 5)
    ruleset = load([CORPUS / "rules" / "linux"] if CORPUS.is_dir() else [])
    found: dict[str, Any] = {"events": count, "rules": len(ruleset.rules), "correlations": len(ruleset.correlations)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "recorded.jsonl")
        with file.open("wb") as out:
            out.writelines(wire.encode(event) + b"\n" for event in told(count))
        found["bytes"] = file.stat().st_size / count
        found["decoding"] = spread([count / decoding(file) for _ in range(repeats)])
        found["replay"] = spread([count / once(file, ruleset) for _ in range(repeats)])
        speed = {name: found[name]["median"] for name in ("replay", "decoding")}
        say(f"{len(ruleset.rules)} rules: {speed['replay']:.0f} events/s, decoding {speed['decoding']:.0f}")
        singles = [rule for rule in ruleset.rules if not rule.shipped] or ruleset.rules
        singles = [rule for rule in singles if rule.actions][:FEW]
        found["more"] = {}
        for size in (FEW, 1_000, 5_000):
            found["more"][str(size)] = _quickest(file, many(singles, size), repeats) * 1e6 / count
            say(f"{size} rules: {found['more'][str(size)]:.2f} µs an event")
    index = Index(ruleset.rules)
    event = crafted(index)
    found["crafted"] = least(index, event, 200)
    found["unindexed"] = [rule.name for rule in index.unindexed()]
    say(f"an event with a text of every rule: {found['crafted']:.0f} µs")
    try:
        found["zircolite"] = zircolite.beside(told(count // 4), CORPUS / "rules" / "linux")
        say(f"Zircolite: {found['zircolite']['ratio']:.0f} times its speed, {found['zircolite']['different']} differ")
    except Lacking as lack:
        say(f"left out: {lack}")
    return found


def _quickest(file: Path, ruleset: RuleSet, repeats: int) -> float:
    """Return the CPU seconds of the quickest of some replays. The rules are gone when it returns: they are many."""
    return min(once(file, ruleset) for _ in range(max(2, repeats // 2)))


def page(found: dict[str, Any]) -> list[str]:
    """Return the lines for the page."""
    replayed, few = found["replay"], found["more"][str(FEW)]
    return [
        (
            f"{found['events']} recorded events of {found['bytes']:.0f} bytes each, {found['rules']} rules (the shipped"
            f" ones and SigmaHQ's for Linux), {found['correlations']} correlations, one core, CPU time: read, decoded,"
            f" matched, correlated and made into alerts, {replayed['median']:,.0f} events/s (best"
            f" {replayed['most']:,.0f}); decoding alone {found['decoding']['median']:,.0f}. An event that holds a text"
            f" of every rule takes {found['crafted']:.0f} µs to match."
        ),
        "",
        "| rules | µs an event | ratio |",
        "|---:|---:|---:|",
        *(f"| {size} | {cost:.1f} | {cost / few:.1f} |" for size, cost in found["more"].items()),
        *(zircolite.page(found["zircolite"]) if "zircolite" in found else ()),
    ]
