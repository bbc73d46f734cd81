"""What a daemon says of itself, for tests of what shows it."""

from datetime import UTC, datetime, timedelta

import msgspec

from replguard.events.alert import LEVELS
from replguard.events.overview import Case, Flow, Overview, Part, Served, Stream, Told, Way
from replguard.standing import SensorLine, Status

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def status(**more) -> Status:
    """Return what an idle daemon says, with six sensors, one of them off."""
    names = ("exec", "names", "tcp", "volume", "endpoint")
    lines = [SensorLine(name, "file", "kernel", "a reason", None) for name in names]
    overview = Overview(
        sensors={name: Flow(10, 0, 1234.5, 0.012) for name in names},
        instances=(Served("chat-70b", 2, 1, 0),),
        firing=dict.fromkeys(LEVELS, 0),
        incidents=0,
        cases=(),
        alerts=(),
        sinks={"jsonl": Way(12, 0, 0)},
        log={"raw": Stream(3 * 2**20, 0), "evidence": Stream(1000, 0)},
        parts={"daemon": Part(90 * 2**20, 0.015)},
        waiting=0,
        examining=0,
        evicted={},
        checkpoint=NOW - timedelta(minutes=7),
    )
    about = {key: more.pop(key) for key in list(more) if key in Overview.__struct_fields__ and key != "sensors"}
    return Status(
        version="0.1.0",
        pid=7,
        started=NOW - timedelta(days=1),
        written=NOW,
        protecting="2 files of 1 model, 1.00 GiB",
        judging="109 in force, 0 not evaluable here",
        problems=more.pop("problems", []),
        metrics="",
        sensors=more.pop("sensors", [*lines, SensorLine("gpu", "gpu", "off", "no GPU", None)]),
        overview=msgspec.structs.replace(overview, **about),
    )


def case(number: int = 1, level="critical", sentence="An agent copied chat-70b to /srv/x.", **more) -> Case:
    """Return an open incident."""
    given = {"actor": "python3", "opened": NOW - timedelta(minutes=3), "last": NOW, "count": 4, **more}
    return Case(id=f"inc{number}", level=level, sentence=sentence, **given)


def told(sentence="An agent copied chat-70b.", state="firing") -> Told:
    """Return an alert."""
    return Told(at=NOW, level="high", state=state, incident="inc1", sentence=sentence)
