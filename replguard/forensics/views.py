"""What can be asked for: the columns that a record of the log has, and the views that show some records by them."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``sources`` are the places in a record that it comes from, parted by blanks: the first that is there.

    ``text``: a person may look for a part of it. ``sql`` makes it of what stands there, ``{}``, of type ``taken``.
    """

    name: str
    kind: str
    sources: str
    meaning: str
    text: bool = False
    sql: str = "{}"
    taken: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Some of the records, by some of their columns. ``where`` is SQL over all columns."""

    name: str
    meaning: str
    where: str
    columns: tuple[str, ...]


_TEXT, _WHOLE, _LIST = "VARCHAR", "BIGINT", "VARCHAR[]"
_TIME = "TRY_CAST({} AS TIMESTAMP)"
_ABOVE = "array_to_string(list_filter({}, lambda each: each IS DISTINCT FROM r.process.entity_id), ' ')"

PLACE = (
    Column("stream", _TEXT, "", "The stream that the record stands in: `raw` or `evidence`."),
    Column("segment", "INTEGER", "", "The number of its segment."),
    Column("line", "INTEGER", "", "Its line in the segment, the header being line 1: what a proof is made for."),
)
"""Where a record stands."""
FOUND = (
    Column("time", "TIMESTAMP", "@timestamp", "When it happened, in UTC.", sql=_TIME, taken=_TEXT),
    Column("id", _TEXT, "event.id", "Its id: of an alert the same each time that it is told."),
    Column("sequence", _WHOLE, "event.sequence", "Its place in the order of feeding."),
    Column(
        "kind",
        _TEXT,
        "event.kind",
        "`event`; `enrichment` is a fact, and there are `alert` and `state`.",
        sql="coalesce({}, 'event')",
    ),
    Column("action", _TEXT, "event.action", "What happened: see {doc}`events`."),
    Column("provider", _TEXT, "event.provider", "Who told it: a sensor, or provenance."),
    Column("pid", _WHOLE, "process.pid", "The process that acted."),
    Column("entity_id", _TEXT, "process.entity_id", "That process for ever: its pid may come again."),
    Column("namespace_pid", _WHOLE, "process.namespace_pid", "Its pid as its container knows it."),
    Column("executable", _TEXT, "process.executable", "The program that it runs.", text=True),
    Column("command_line", _TEXT, "process.command_line", "Its arguments.", text=True),
    Column("working_directory", _TEXT, "process.working_directory", "Its working directory.", text=True),
    Column("started", "TIMESTAMP", "process.start", "When it started, in UTC.", sql=_TIME, taken=_TEXT),
    Column("exit_code", _WHOLE, "process.exit_code", "How it ended."),
    Column("parent_pid", _WHOLE, "process.parent.pid", "The parent then."),
    Column("parent_entity_id", _TEXT, "process.parent.entity_id", "The parent for ever."),
    Column("parent_executable", _TEXT, "process.parent.executable", "The program of the parent.", text=True),
    Column("parent_command_line", _TEXT, "process.parent.command_line", "The arguments of the parent.", text=True),
    Column("target_pid", _WHOLE, "target.pid", "The process acted upon."),
    Column("target_entity_id", _TEXT, "target.entity_id", "That process for ever."),
    Column("target_executable", _TEXT, "target.executable", "The program of the process acted upon.", text=True),
    Column("signal", _WHOLE, "replguard.signal", "The number of the signal that was sent."),
    Column("user", _TEXT, "user.name", "The user that it runs as."),
    Column("uid", _WHOLE, "user.id", "The number of that user."),
    Column("login_uid", _WHOLE, "user.audit", "Who logged in, kept through sudo."),
    Column("container", _TEXT, "container.name container.id", "The container that it runs in."),
    Column("image", _TEXT, "container.image.name", "The image of that container."),
    Column("pod", _TEXT, "orchestrator.resource.name", "Its Kubernetes pod, or batch job."),
    Column("workload", _TEXT, "orchestrator.workload", "Its Kubernetes workload."),
    Column("path", _TEXT, "file.path", "The file.", text=True),
    Column("host_path", _TEXT, "replguard.host_path", "That file as the host names it, from a container.", text=True),
    Column("previous_path", _TEXT, "file.previous", "Its name before it was renamed.", text=True),
    Column("device", "UBIGINT", "file.device", "The device of the file, as `stat` tells it."),
    Column("inode", "UBIGINT", "file.inode", "Its inode number."),
    Column("size", _WHOLE, "file.size", "Its bytes."),
    Column("ip", _TEXT, "destination.ip server.ip", "The remote end of a connection; of a listener its address."),
    Column("port", _WHOLE, "destination.port server.port", "The port there."),
    Column("domain", _TEXT, "destination.domain", "The name of the remote end, where it is known.", text=True),
    Column("socket", _TEXT, "destination.path server.path", "The path of a Unix socket.", text=True),
    Column("local_ip", _TEXT, "source.ip", "The own end of a connection."),
    Column("local_port", _WHOLE, "source.port", "The port there."),
    Column("transport", _TEXT, "network.transport", "`tcp`, `udp` or `unix`."),
    Column("gpu", _TEXT, "gpu.id", "The device whose memory is held."),
    Column("gpu_bytes", _WHOLE, "gpu.memory_bytes replguard.instance.gpu_bytes", "The bytes of it that are held."),
    Column("actor_id", _TEXT, "replguard.actor.id", "Who acted, in this run: the principal and its entry point."),
    Column("actor_kind", _TEXT, "replguard.actor.kind", "`agent`, `container`, `service`, `session` and so on."),
    Column("actor_principal", _TEXT, "replguard.actor.principal", "Who acted, the same in each run."),
    Column("actor_name", _TEXT, "replguard.actor.name", "The program of the entry point."),
    Column("actor_pid", _WHOLE, "replguard.actor.pid", "The pid of the entry point."),
    Column("agent", "BOOLEAN", "replguard.actor.agent", "Whether a language model drives the actor."),
    Column(
        "ancestors",
        _TEXT,
        "replguard.lineage",
        "The `entity_id` of each process above it, up to the entry point, parted by blanks.",
        sql=_ABOVE,
        taken=_LIST,
    ),
    Column("attribution", _TEXT, "replguard.attribution", "How it is known who acted."),
    Column("tier", _TEXT, "replguard.tier", "The tier that told it: `kernel` or `portable`."),
    Column("model", _TEXT, "replguard.model", "The model whose weights it is about."),
    Column("technique", _TEXT, "replguard.technique", "How the weights were copied, or what was done."),
    Column("mode", _TEXT, "replguard.mode", "How weights were used: `read`, `map`, `link`, `memory` or `device`."),
    Column("status", _TEXT, "replguard.status", "How far it has come; of a connection its state."),
    Column("confidence", _TEXT, "replguard.confidence", "How content was recognised."),
    Column("share", "DOUBLE", "replguard.share", "The share of the weights, 0 to 1."),
    Column("bytes", _WHOLE, "replguard.bytes network.bytes", "So many bytes were read, written or sent."),
    Column("generation", _WHOLE, "replguard.generation", "1 is the original, 2 its copy."),
    Column("origin_path", _TEXT, "replguard.origin.path", "The file that the weights come from.", text=True),
    Column("origin_device", "UBIGINT", "replguard.origin.device", "The device of that file."),
    Column("origin_inode", "UBIGINT", "replguard.origin.inode", "The inode number of that file."),
    Column("artefacts", _LIST, "replguard.artefacts", "The ids of what was made, and of servers."),
    Column("endpoint", _TEXT, "replguard.endpoint", "The server that drives an agent.", text=True),
    Column("authorised_by", _TEXT, "replguard.authorised.by", "`manifest` or `baseline`, where the act is allowed."),
    Column("authorised_entry", _TEXT, "replguard.authorised.entry", "The entry that allows it."),
    Column("instance_id", _TEXT, "replguard.instance.id", "The serving instance."),
    Column("instance_pids", "BIGINT[]", "replguard.instance.pids", "Its processes."),
    Column("instance_listen", _LIST, "replguard.instance.listen", "Where it listens."),
    Column("instance_weights", _LIST, "replguard.instance.weights", "The weights that it holds."),
    Column("instance_count", _WHOLE, "replguard.instance.count", "How many of them there are."),
    Column("deployment", _TEXT, "replguard.instance.deployment", "The deployment that it belongs to."),
    Column("rule_id", _TEXT, "rule.id", "The rule of an alert, by its id."),
    Column("rule_name", _TEXT, "rule.name", "The rule of an alert, by its name."),
    Column("level", _TEXT, "rule.level", "The level of an alert."),
    Column(
        "incident",
        _TEXT,
        "replguard.incident snapshot.incident incident",
        "The incident that an alert, or what is kept with it, belongs to.",
        text=True,
    ),
    Column("state", _TEXT, "replguard.state", "`firing` or `resolved`."),
    Column("count", _WHOLE, "replguard.count", "How often it was told by then."),
    Column("evidence", _LIST, "replguard.evidence", "The ids of the records that an alert rests on."),
    Column("drill", _TEXT, "replguard.drill", "The drill that an alert comes from."),
    Column("message", _TEXT, "message", "The sentence of an alert.", text=True),
    Column("component", _TEXT, "health.component", "The part of replguard that tells its state."),
    Column("health", _TEXT, "health.state", "That state."),
    Column("reason", _TEXT, "health.reason replguard.difference", "Why, or what has changed.", text=True),
)
"""What is found in a record."""
RECORD = Column("record", "JSON", "", "The whole record as it stands in the log.")
COLUMNS = (*PLACE, *FOUND, RECORD)

_HEAD = ("time", "action")
_WHO = tuple("pid entity_id executable command_line user uid container actor_id actor_kind actor_name agent".split())
_END = ("id", "sequence", "stream", "segment", "line")


def _view(name: str, meaning: str, where: str, columns: str) -> View:
    return View(name, meaning, where, (*_HEAD, *columns.split(), *_WHO, *_END))


VIEWS = (
    View(
        "records",
        "All records, each once, by all columns; the only view with the whole `record`, which takes longest to read.",
        "true",
        tuple(column.name for column in COLUMNS),
    ),
    _view(
        "processes",
        "Programs that began and ended, forks, signals, and who looked into whose memory.",
        "action LIKE 'process\\_%' ESCAPE '\\' AND kind <> 'alert'",
        "started namespace_pid exit_code working_directory parent_pid parent_entity_id parent_executable"
        " parent_command_line target_pid target_entity_id target_executable signal ancestors",
    ),
    _view(
        "files",
        "Files that were made, written, linked, renamed, removed, and watched ones that were opened and read.",
        "action LIKE 'file\\_%' ESCAPE '\\' AND kind <> 'alert'",
        "path host_path previous_path device inode size mode bytes share",
    ),
    _view(
        "network",
        "Connections, listeners, and bytes sent.",
        "(action LIKE 'network\\_%' ESCAPE '\\' OR action LIKE 'socket\\_%' ESCAPE '\\') AND kind <> 'alert'",
        "ip port domain socket local_ip local_port transport bytes status model",
    ),
    _view(
        "weights",
        "What was done with weights: used, copied, come from elsewhere, sent off the host.",
        "action LIKE 'weights\\_%' ESCAPE '\\' AND kind <> 'alert'",
        "model technique mode status confidence share bytes path host_path device inode size origin_path artefacts"
        " generation ip port domain authorised_by authorised_entry",
    ),
    _view(
        "alerts",
        "Alerts, each time that they were told: when they fired, when they went on, when they were resolved.",
        "kind = 'alert'",
        "level rule_name rule_id message state count incident model technique path ip port evidence drill",
    ),
    _view(
        "instances",
        "Serving instances: when they began, changed and ended.",
        "action = 'server_live' AND kind <> 'alert'",
        "instance_id status model instance_pids instance_listen instance_weights instance_count deployment gpu_bytes"
        " generation ip port authorised_by authorised_entry",
    ),
    View(
        "damaged",
        "Lines that cannot be read, and what is missing in a segment: `replguard verify` says what was changed.",
        "",
        ("stream", "segment", "line", "fault"),
    ),
)
FAULT = Column("fault", _TEXT, "", "What is wrong there.")
BY_NAME = {column.name: column for column in (*COLUMNS, FAULT)}


def structure() -> str:
    """Return the shape by which DuckDB takes a record apart: the places of all columns and their types, as JSON."""
    shape: dict[str, Any] = {}
    for column in FOUND:
        kind = column.taken or column.kind
        for source in column.sources.split():
            *above, last = source.split(".")
            inner = shape
            for name in above:
                inner = inner.setdefault(name, {})
            inner[last] = [kind.removesuffix("[]")] if kind.endswith("[]") else kind
    return json.dumps(shape)


def taken() -> str:
    """Return the SQL of all columns of ``FOUND``, from a record ``r`` that was taken apart."""
    return ", ".join(f'{_value(column)} AS "{column.name}"' for column in FOUND)


def _value(column: Column) -> str:
    places = [".".join(("r", *(f'"{name}"' for name in source.split(".")))) for source in column.sources.split()]
    return column.sql.format(places[0] if len(places) == 1 else f"coalesce({', '.join(places)})")
