"""Every alert's allow-hint, pasted in: that very case is silent, and whatever is almost it is told as before."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from replguard.alerts.allow import hint
from replguard.alerts.story import tell
from replguard.events.alert import Detection
from replguard.events.event import Event
from replguard.events.fact import Actor, Context, FileRef, Instance
from replguard.events.file import File
from replguard.events.process import Process, User
from replguard.provenance import manifest as manifests
from replguard.provenance.again import MAY, judged
from replguard.provenance.manifest import Manifest
from replguard.rules.cases import Case, read_cases
from replguard.rules.engine import Engine
from replguard.rules.fixtures import fixture_path, only
from replguard.rules.load import load

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = load(shipped=ROOT / "rules")
RULES = {rule.name: rule for rule in SHIPPED.known() if Path(rule.path).parent.name != "stages"}
FACTS = {*MAY, "server_live"}
replace = msgspec.structs.replace


def whole(event: Event) -> Event:
    """Return a fixture's fact with all that provenance says of one, where the fixture had no need of it."""
    about = event.replguard
    if event.action not in FACTS or about is None:
        return event
    path = f"/models/{about.model or 'm'}/model-00001-of-00002.safetensors"
    process = event.process or Process(pid=77)
    if about.actor is None or (about.actor.kind, about.actor.id) == ("unknown", "unknown"):
        return event
    given: dict[str, Any] = {"actor": replace(about.actor, pid=about.actor.pid or 70)}
    if event.action in ("server_live", "serving_signal"):
        instance = about.instance or Instance(id="i1", listen=("0.0.0.0:8001",))
        given["instance"] = replace(instance, weights=instance.weights or (path,))
    elif about.origin is None:
        given["origin"] = FileRef(path=path)
    return replace(
        event,
        user=event.user or User(id=1000, name="ann"),
        process=replace(process, executable=process.executable or "/usr/bin/tool"),
        replguard=replace(about, **given),
    )


def detections(name: str, events: list[Event]) -> list[Detection]:
    engine = Engine(only(RULES[name], SHIPPED))
    return [found for event in events for found in engine.feed(event) if found.rule.name == name]


def pasted(text: str, folder: Path) -> Manifest:
    """Return what a hint allows once it is a file of manifest.d, which has to be free of faults and doubts."""
    (folder / "manifest.d").mkdir(exist_ok=True)
    (folder / "manifest.d" / "hint.yaml").write_text(text)
    manifest, problems = manifests.load(folder / "manifest.yaml")
    assert problems == []
    assert manifests.warnings(manifest, date(2026, 1, 1)) == []
    return manifest


def cases() -> list[tuple[str, Case]]:
    return [
        (name, case)
        for name, rule in sorted(RULES.items())
        for case in read_cases(fixture_path(rule, ROOT / "rules"))
        if case.kind == "fires"
    ]


def hinted() -> list[tuple[str, list[Event], str]]:
    """Return every case whose alert carries a hint."""
    found = []
    for name, case in cases():
        events = [whole(event) for event in case.events]
        text = hint(tell(detections(name, events)[-1]))
        if text is not None:
            found.append((name, events, text))
    return found


HINTED = hinted()
each = pytest.mark.parametrize(("name", "events", "text"), HINTED, ids=[name for name, _, _ in HINTED])


def test_every_rule_about_what_can_be_allowed_has_hints() -> None:
    """Weights, servers and signals to them: an alert of a rule about these says what would allow it."""
    families = ("weights-", "server-live-", "serving-signal-s")
    about = {name for name in RULES if name.startswith(families)} - {"weights-search", "serving-signal-scheduled"}
    assert about <= {name for name, _, _ in HINTED}


@each
def test_the_very_case_is_silent(name: str, events: list[Event], text: str, tmp_path: Path) -> None:
    """The rule raises nothing once the hint is a file of manifest.d; before it did."""
    manifest = pasted(text, tmp_path)
    assert detections(name, events)
    assert detections(name, [judged(event, manifest) for event in events]) == []


def acted(change: Callable[[Event, Context], Event]) -> Callable[[Event], Event]:
    def changed(event: Event) -> Event:
        about = event.replguard
        return event if event.action not in FACTS or about is None or event.user is None else change(event, about)

    return changed


def elsewhere(path: str) -> str:
    return path.replace("/models/", "/other/")


def another_principal(event: Event, about: Context) -> Event:
    actor = about.actor or Actor(kind="unknown", id="x", principal="x")
    service = actor.kind == "service"
    actor = replace(actor, principal="unit:other.service" if service else "session:1")
    about = replace(about, actor=actor, unit="other.service/1" if service else None)
    return replace(event, replguard=about, user=User(id=(event.user.id or 0) + 1 if event.user else 1), container=None)


def another_program(event: Event, about: Context) -> Event:
    actor = about.actor
    if event.process is None or (actor is not None and actor.kind == "service") or event.container is not None:
        return another_principal(event, about)
    return replace(event, process=replace(event.process, executable=f"{event.process.executable}2"))


def another_model(event: Event, about: Context) -> Event:
    instance, origin, file = about.instance, about.origin, event.file
    if instance is not None:
        instance = replace(instance, weights=tuple(map(elsewhere, instance.weights)))
    origin = replace(origin, path=elsewhere(origin.path)) if origin is not None else None
    file = File(path=elsewhere(file.path)) if file is not None and event.action == "weights_access" else file
    return replace(event, file=file, replguard=replace(about, instance=instance, origin=origin))


def an_agent(event: Event, about: Context) -> Event:
    actor = about.actor or Actor(kind="unknown", id="x", principal="x")
    return replace(event, replguard=replace(about, actor=replace(actor, kind="agent", agent=True, standing="agent")))


NEAR = {"principal": another_principal, "program": another_program, "model": another_model, "agent": an_agent}


@pytest.mark.parametrize(
    ("what", "number"),
    [(what, n) for what in NEAR for n, one in enumerate(HINTED) if what != "agent" or "agent: true" not in one[2]],
)
def test_what_is_almost_the_case_is_told(what: str, number: int, tmp_path: Path) -> None:
    """Another user or unit, program, model, and an agent where none was meant: as if the hint were not there."""
    name, events, text = HINTED[number]
    manifest = pasted(text, tmp_path)
    other = [acted(NEAR[what])(event) for event in events]
    with_hint = [judged(event, manifest) for event in other]
    for event in with_hint:
        about = event.replguard
        if event.action in FACTS and about is not None and event.user is not None:
            assert about.authorised is None or about.authorised.by == "baseline"
    without = detections(name, [judged(event, Manifest()) for event in other])
    assert len(detections(name, with_hint)) == len(without)


@pytest.mark.parametrize("number", [n for n, one in enumerate(HINTED) if "deployments:" in one[2]])
def test_another_port_and_one_more_are_told(number: int, tmp_path: Path) -> None:
    """A deployment's hint names its ports and how many there were."""
    _, events, text = HINTED[number]
    manifest = pasted(text, tmp_path)
    for event in (event for event in events if event.action == "server_live" and event.user is not None):
        about = event.replguard
        assert about is not None
        assert about.instance is not None
        alone = replace(about, authorised=None)
        for listen, count in ((("0.0.0.0:8999",), about.instance.count), (about.instance.listen, 99)):
            instance = replace(about.instance, listen=listen, count=count)
            again = judged(replace(event, replguard=replace(alone, instance=instance)), manifest).replguard
            assert again is not None
            assert again.authorised is None
            assert count != 99 or again.status == "over_limit"


def test_an_agent_of_a_unit_is_allowed_for_its_program_alone(tmp_path: Path) -> None:
    """Its entry opens nothing for what else it runs in the unit."""
    name, events, text = next(one for one in HINTED if one[0] == "server-live-agent" and "agent: true" in one[2])
    manifest = pasted(text, tmp_path)
    assert detections(name, [judged(event, manifest) for event in events]) == []
    others = [acted(another_program)(event) for event in events]
    assert detections(name, [judged(event, manifest) for event in others])
