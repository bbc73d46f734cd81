"""An incident as one page that opens from a mail: no script, no request, and what an attacker wrote is text."""

import base64
import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import jinja2

from replguard import __version__
from replguard.events.alert import LEVELS, SEVERITY, Alert, Level
from replguard.events.event import Event
from replguard.events.evidence import Cited, Kept, Taken
from replguard.events.network import Endpoint
from replguard.events.process import Process
from replguard.events.text import counted, printable, shorten
from replguard.forensics import proof, timeline
from replguard.forensics.account import Artefact, Destination, account
from replguard.forensics.family import Member, tree
from replguard.forensics.incident import Entry, Incident
from replguard.forensics.proof import Proofs
from replguard.log import keys

RAW = 12 * 2**20
"""Characters of records that the page shows: a mail programme opens it, and a phone."""
SHOWN = 240
"""Characters of a command line in the tree."""
_ALARMS, _SHOWN = 5, 5
_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86400


class Words(Protocol):
    """How things are said: in an alert and here alike."""

    def clause(self, event: Event) -> str:
        """Return what happened, from the verb on."""

    def size(self, number: int | None) -> str | None:
        """Return bytes in binary units."""

    def address(self, end: Endpoint | None) -> str:
        """Return one end of a connection."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record in the table of evidence. ``is_last``: it is the last word on an alert."""

    when: datetime
    text: str
    id: str
    segment: int
    line: int
    sha256: str
    state: str
    mark: str
    leaf: int | None
    is_last: bool
    raw: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that raised an alert, and the hash of its text as it was in force."""

    name: str
    sha256: str | None


def render(incident: Incident, proofs: Proofs, words: Words) -> str:
    """Return the page. The same incident and proofs give the same text."""
    styles = _TEMPLATES.get_template("page.css").render()
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    return _TEMPLATES.get_template("page.html").render(view=View(incident, proofs, words), style_hash=digest)


def _finalize(value: Any) -> Any:
    """Show nothing for None; of a string, no character that moves a cursor or turns a line. jinja2 escapes it then."""
    if value is None:
        return ""
    return printable(value) if type(value) is str else value


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("replguard", "forensics"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
)


class View:
    """What the template asks for."""

    version = __version__

    def __init__(self, incident: Incident, proofs: Proofs, words: Words) -> None:
        self.incident, self.head, self.troubles = incident, proofs.head, proofs.troubles
        self.lead, self.host, self.began = incident.lead, incident.host, incident.began
        self.raised = timeline.raised(incident)
        self.alerts = sorted((e.what for e in incident.alerts), key=lambda alert: self.raised[alert.event.id])
        self.size, self.counted = words.size, counted
        self._words, self._proofs = words, proofs
        self.account = account(incident)
        self.family = tree(incident, self.clause)
        self.ended = max(
            [self.began, *(e.what.timestamp for e in incident.events), *(a.timestamp for a in self.alerts)]
        )
        self._levels = {alert.event.id: alert.rule.level for alert in self.alerts}
        self.moments = timeline.moments(incident, self.who, self.clause)
        self.lanes = timeline.lanes(incident, self.account.stages, self.began, self.ended)
        self.left_out = 0
        self._lead_state: str | None = None
        self.records = list(self._records())

    @property
    def state(self) -> str:
        """Whether it goes on, in words."""
        drill = " · a drill" if any(alert.replguard.drill for alert in self.alerts) else ""
        return ("firing, as far as this log says" if self.incident.is_firing else "resolved") + drill

    @property
    def counts(self) -> str:
        """How much there is."""
        did = sum(member.did for member in self.family)
        alerts, events = len(self.alerts), len(self.incident.events)
        return f"{counted(alerts, 'alert')}, {counted(did, 'process', 'processes')}, {counted(events, 'event')}"

    @property
    def alarms(self) -> list[str]:
        """What makes the page worth less than it looks: the log is not whole, or its sentence not proven."""
        found = [
            f"The log is not what was written, or cannot be read whole: {each}" for each in self.troubles[:_ALARMS]
        ]
        if more := self.troubles[_ALARMS:]:
            found.append(f"and {len(more)} more: see the end of this page")
        if self._lead_state not in (None, proof.OPEN):
            found.append(f"The alert behind this sentence is not proven: {self._lead_state}.")
        return found

    @property
    def warnings(self) -> list[str]:
        """What whoever reads the sentence has to know besides."""
        drills = dict.fromkeys(alert.replguard.drill for alert in self.alerts if alert.replguard.drill)
        found = [
            f"This was a drill ({shorten(each, SHOWN)}): replguard did it itself, to be alerted." for each in drills
        ]
        if self._lead_state == proof.OPEN:
            found.append("The alert behind this sentence was not sealed yet when this was made: make it again.")
        if any(alert.replguard.degraded for alert in self.alerts):
            found.append("Events were lost while this was gathered: something may be missing.")
        if self.lead.replguard.attribution in ("inferred", "unknown"):
            found.append(
                "Who acted is a guess, or not known: look at the process and the file before you act on the name."
            )
        return found

    @property
    def contain(self) -> list[str]:
        """Return commands to contain it: those of the worst alert that has any."""
        first = next((alert.replguard.contain for alert in self._worst() if alert.replguard.contain), ())
        return list(dict.fromkeys(map(self._latest, first)))

    @property
    def contain_others(self) -> list[str]:
        """Return the commands of all other alerts."""
        every = dict.fromkeys(self._latest(each) for alert in self._worst() for each in alert.replguard.contain)
        return [each for each in every if each not in self.contain]

    def _latest(self, command: str) -> str:
        """Return the last of the commands that do the same: the time up to which the pid is the one meant differs."""
        act = command.rpartition(" && ")[2]
        every = (each for alert in self.alerts for each in alert.replguard.contain)
        return max(each for each in every if each.rpartition(" && ")[2] == act)

    @property
    def allow(self) -> list[str]:
        """Return the manifest entries that would allow it."""
        return list(dict.fromkeys(alert.replguard.allow for alert in self.alerts if alert.replguard.allow))[:20]

    @property
    def alive(self) -> list[str]:
        """Return the servers that were not told to have ended."""
        events = (each.event for each in self.account.servers)
        return [
            f"{self.named(e.process)} {self.clause(e)}" for e in events if e.replguard and e.replguard.status != "ended"
        ]

    @property
    def gone(self) -> list[str]:
        """Return the servers that were told to have ended, and what they leave behind."""
        return [said for each in self.account.servers if (said := self._gone(each.event))]

    def _gone(self, event: Event) -> str | None:
        about = event.replguard
        if about is None or about.instance is None or about.status != "ended":
            return None
        pids, copies = about.instance.pids or (event.process.pid if event.process else None,), about.instance.weights
        what = ", ".join([f"pid {each}" for each in pids if each is not None] + list(about.instance.listen))
        lies = f"; its copy {' and '.join(map(self.short, copies[:_SHOWN]))} may still lie there" if copies else ""
        return (
            f"The server that was told of{f' ({what})' if what else ''} ended at {self.time_of(event.timestamp)}{lies}."
        )

    @property
    def runbook(self) -> tuple[str, str] | None:
        """Return the file of the runbook and the heading in it: there is nothing here to follow a link to."""
        file, _, heading = (self.lead.replguard.runbook or "").partition("#")
        return (file, heading) if file else None

    @property
    def rules(self) -> list[Rule]:
        """Return the rules of its alerts."""
        kept = {each.what.rule.id: each.what.rule.sha256 for each in self.incident.rules}
        return [Rule(name, kept.get(id_)) for id_, name in {a.rule.id: a.rule.name for a in self.alerts}.items()]

    @property
    def root(self) -> str:
        """Return the root that everything is proven by."""
        return keys.text(self.head.root) if self.head is not None else ""

    @property
    def first_key(self) -> str | None:
        """Return the key that vouches for the first of the headers."""
        return proof.first_key(self._proofs.headers)

    @property
    def proof_line(self) -> str:
        """Return how much is proven, in a sentence."""
        proven, total = sum(row.mark == "proven" for row in self.records), len(self.records)
        are = "is" if proven == 1 else "are"
        return f"{counted(total, 'record')}, of which {proven:,} {are} proven to stand in the signed log."

    def clock(self, when: datetime) -> str:
        """Return a time whole."""
        return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d} UTC"

    def time_of(self, when: datetime) -> str:
        """Return a time of day."""
        return f"{when:%H:%M:%S} UTC"

    def since(self, when: datetime) -> str:
        """Return how long after the first act something was."""
        return span(when - self.began)

    def when(self, when: datetime) -> str:
        """Return a time with how long after the first act it was."""
        return f"{self.clock(when)} ({self.since(when)})"

    def span(self, first: datetime, last: datetime) -> str:
        """Return from when to when."""
        return self.when(first) if first == last else f"{self.when(first)} to {self.since(last)}"

    def program(self, process: Process | None) -> str:
        """Return the name of a program."""
        known = process or Process()
        return shorten(posixpath.basename(known.executable or "") or known.name or "a process that is not told of", 60)

    def named(self, process: Process | None) -> str | None:
        """Return a process with its pid, None for none."""
        if process is None:
            return None
        return self.program(process) + (f" (pid {process.pid})" if process.pid is not None else "")

    def who(self, event: Event) -> str:
        """Return whose doing an event is: a process, or a part of ours that was in trouble."""
        ours = event.health.component if event.health is not None else event.event.provider
        return self.named(event.process) or ours or "replguard"

    def clause(self, event: Event) -> str:
        """Return what happened, from the verb on."""
        health = event.health
        if health is not None and health.state == "loss":
            return f"lost {counted(health.lost, 'event') if health.lost is not None else 'events'}"
        return self._words.clause(event)

    def short(self, text: str) -> str:
        """Return a text cut in its middle."""
        return shorten(text, SHOWN)

    def address(self, to: Destination) -> str:
        """Return where something was sent."""
        return f"{to.hosts} hosts" if to.hosts is not None else self._words.address(to.end)

    def how(self, made: Artefact) -> str:
        """Return how a file was made, and how sure that is."""
        share = f"{made.share:.0%} of it" if made.share is not None else None
        return ", ".join(
            each for each in (made.technique, share, made.confidence and f"known by {made.confidence}") if each
        )

    def level_of(self, member: Member) -> Level:
        """Return the highest level of the alerts that name a process."""
        return max((self._levels[id_] for id_ in member.alerts), key=LEVELS.index)

    def _worst(self) -> list[Alert]:
        return [self.lead, *sorted(self.alerts, key=lambda alert: -SEVERITY[alert.rule.level])]

    def _records(self) -> Iterator[Row]:
        leaves = {
            (block.segment, block.first + number): block.leaf
            for block in self._proofs.blocks
            for number in range(len(block.lines))
        }
        last, room = {(each.at.segment, each.at.line) for each in self.incident.alerts}, RAW
        for entry in self.incident.entries:
            place, data = (entry.at.segment, entry.at.line), entry.at.data
            room -= len(data)
            leaf = leaves.get(place)
            why = self._proofs.unproven.get(place, proof.OPEN)
            if entry.what is self.lead and leaf is None:
                self._lead_state = why
            if room < 0:
                self.left_out += 1
            yield Row(
                entry.what.timestamp,
                self._said(entry),
                entry.what.event.id,
                *place,
                hashlib.sha256(data).hexdigest(),
                "proven" if leaf is not None else why,
                "proven" if leaf is not None else "broken" if why.startswith((proof.CHANGED, proof.BESIDE)) else "open",
                leaf,
                place in last,
                data.decode("utf-8", "backslashreplace") if room >= 0 else None,
            )

    def _said(self, entry: Entry[Any]) -> str:
        what = entry.what
        if isinstance(what, Alert):
            return f"{what.rule.level} alert, {what.replguard.state}: {shorten(what.message, SHOWN)}"
        if isinstance(what, Taken):
            return f"snapshot of {self.named(what.process)}"
        if isinstance(what, Cited):
            return f"text of rule {what.rule.name}"
        if isinstance(what, Kept):
            return f"checkpoint of {counted(what.checkpoint.size, 'block')}"
        if what.event.kind == "state":
            return f"process {self.named(what.process)}"
        return f"{self.who(what)} {self.clause(what)}"


def span(time: timedelta) -> str:
    """Return a time from the first act on, as short as it can be said."""
    seconds = time.total_seconds()
    sign, much = ("−" if seconds < 0 else "+"), abs(seconds)
    if much < _MINUTE:
        return f"{sign}{much:.3f} s" if much < 10 * _SECOND else f"{sign}{much:.1f} s"
    if much < _HOUR:
        return f"{sign}{much // _MINUTE:.0f} min {much % _MINUTE:.0f} s"
    if much < _DAY:
        return f"{sign}{much // _HOUR:.0f} h {much % _HOUR // _MINUTE:.0f} min"
    return f"{sign}{much // _DAY:.0f} d {much % _DAY // _HOUR:.0f} h"
