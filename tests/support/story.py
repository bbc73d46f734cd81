"""A host made of events: what sensors would tell of processes, files and sockets, fed to provenance by hand."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from replguard.events.event import Event, Meta
from replguard.events.fact import Context
from replguard.events.file import File
from replguard.events.gpu import Gpu
from replguard.events.hint import Hint
from replguard.events.identity import entity_id
from replguard.events.network import Endpoint, Network
from replguard.events.process import Parent, Process, User
from replguard.provenance.authority import Authority
from replguard.provenance.baseline import Baseline
from replguard.provenance.egress import Settings
from replguard.provenance.endpoints import Endpoints
from replguard.provenance.manifest import Manifest
from replguard.provenance.processes import Proc
from replguard.provenance.provenance import Provenance
from replguard.weights.fingerprint import Match
from replguard.weights.inventory import Protected
from replguard.weights.messages import Examination, Request

START = datetime(2026, 1, 1, tzinfo=UTC)
MIB = 2**20
DAEMON = 7
"""The daemon's own pid on this host."""
HELD = Context(tier="portable", attribution="lineage")
ROOT = User(id=0, name="root")
ANN = User(id=1000, name="ann", audit=1000)
SERVICE = User(id=900, name="serve")


def vllm(unit: str = "vllm", invocation: str = "a1") -> dict[str, Any]:
    """Return what a process of a system service has in common."""
    return {"cgroup": f"/system.slice/{unit}.service", "invocation": invocation, "user": SERVICE}


class Host:
    """Keeps a clock, names pids and inodes, and feeds events. ``facts`` is everything that came of them.

    Every step takes and returns processes as `Proc`, so that a story reads as it happened.
    """

    def __init__(
        self,
        manifest: Manifest | None = None,
        *,
        baseline: Baseline | None = None,
        endpoints: tuple[str, ...] = (),
        index_ready: Callable[[], bool] = lambda: True,
        now: datetime = START,
        egress: Settings | None = None,
        remote: Callable[[str], tuple[str, str] | None] = lambda _: None,
        memory: Path | None = None,
    ) -> None:
        self.now = now
        self.protected: dict[tuple[int, int], Protected] = {}
        self.requests: list[Request] = []
        self.hints: list[Hint] = []
        self.events: list[Event] = []
        self.facts: list[Event] = []
        self.fresh: list[Event] = []
        self._pid, self._inode = 100, 1000
        self.baseline = baseline or Baseline(None)
        self._manifest, self._endpoints, self._index_ready = manifest or Manifest(), endpoints, index_ready
        self._egress, self._remote, self._memory = egress, remote, memory
        self.gone: set[str] = set()
        self.provenance = self._begin()
        self.init = self.exec("systemd", parent=None, pid=1, user=ROOT, kind="state", session=1)

    def _begin(self) -> Provenance:
        made = Provenance(
            own={DAEMON},
            authority=Authority(self._manifest, self.baseline),
            endpoints=Endpoints(self._endpoints),
            by_inode=lambda device, inode: self.protected.get((device, inode)),
            files=lambda: list(self.protected.values()),
            examine=self.requests.append,
            watch=self.hints.append,
            index_ready=self._index_ready,
            egress=self._egress,
            remote=self._remote,
            memory=self._memory,
        )
        made.memory.runs = lambda proc: proc.entity not in self.gone
        return made

    def killed(self, seconds: float = 2.0, *, gone: Iterable[Proc] = ()) -> None:
        """Kill the daemon and start it, while processes may end; ask for those of before by `same`."""
        self.requests.clear()
        self.hints.clear()
        self.gone |= {proc.entity for proc in gone}
        self.wait(seconds)
        self.provenance = self._begin()
        self.provenance.resume(self.now)

    def same(self, proc: Proc) -> Proc:
        """Return a process as it is known now."""
        found = self.provenance.table.get(proc.entity)
        assert found is not None, f"{proc.image} is not known any more"
        return found

    # -- the clock and the wire ----------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def feed(self, action: str, *, kind: str = "event", **sections: Any) -> list[Event]:
        """Feed one event, a hundredth of a second after the last, and return the facts that followed."""
        self.wait(0.01)
        sections.setdefault("replguard", HELD if sections.get("process") is not None else Context(tier="portable"))
        made = Event(timestamp=self.now, event=Meta(action=action, kind=kind, provider="test"), **sections)
        return self._take(self.provenance.feed(made))

    def _take(self, out: list[Event]) -> list[Event]:
        facts = [event for event in out if event.event.kind == "enrichment"]
        self.events += out
        self.facts += facts
        self.fresh = facts
        return facts

    def of(self, action: str, status: str | None = None) -> list[Event]:
        """Return all facts of one kind so far."""
        return [
            fact
            for fact in self.facts
            if fact.action == action and (status is None or (fact.replguard or Context()).status == status)
        ]

    # -- processes -----------------------------------------------------------------------------------------------

    def describe(self, pid: int, image: str, args: str | tuple[str, ...] = (), **given: Any) -> Process:
        """Return a process section as the process sensor would describe it."""
        path = image if "/" in image else f"/usr/bin/{image}"
        words = tuple(args.split()) if isinstance(args, str) else tuple(args)
        parent: Proc | None = given.get("parent")
        start = given.get("start", self.now)
        session = given.get("session", parent.process.session_id if parent else pid)
        return Process(
            pid=pid,
            entity_id=given.get("entity") or entity_id("machine", "boot", pid, int(start.timestamp() * 100)),
            start=start,
            executable=path,
            name=path.rpartition("/")[2][:15],
            args=(path.rpartition("/")[2], *words),
            command_line=" ".join((path.rpartition("/")[2], *words)),
            working_directory=given.get("folder", parent.process.working_directory if parent else "/"),
            interactive=given.get("interactive"),
            tty=given.get("tty", parent.process.tty if parent else None),
            session_id=session,
            group_id=given.get("group", session),
            audit_session=given.get("audit_session", parent.process.audit_session if parent else None),
            cgroup=given.get("cgroup", parent.process.cgroup if parent else "/init.scope"),
            invocation_id=given.get("invocation", parent.process.invocation_id if parent else None),
            trigger=given.get("trigger"),
            pipes_in=given.get("reads", ()),
            pipes_out=given.get("writes", ()),
            parent=Parent(pid=parent.pid, entity_id=parent.entity) if parent else None,
        )

    def exec(
        self, image: str, args: str | tuple[str, ...] = (), *, parent: Proc | None, pid: int | None = None, **given: Any
    ) -> Proc:
        """Start a program; what is not given is inherited from the parent."""
        self.wait(0.01)
        self._pid += pid is None
        kind, action = given.pop("kind", "event"), given.pop("action", "process_exec")
        user = given.pop("user", parent.user if parent else ROOT)
        section = self.describe(pid or self._pid, image, args, parent=parent, **given)
        self.feed(action, kind=kind, process=section, user=user)
        found = self.provenance.table.get(section.entity_id)
        assert found is not None
        return found

    def fork(self, parent: Proc, **given: Any) -> Proc:
        """Fork a process that goes on as its parent's image."""
        image, args = parent.process.executable or "", parent.process.args[1:]
        return self.exec(image, args, parent=parent, action="process_fork", **given)

    def again(self, proc: Proc, image: str, args: str | tuple[str, ...] = (), **given: Any) -> Proc:
        """Let a process execute another image."""
        section = self.describe(proc.pid, image, args, parent=proc.parent, entity=proc.entity, **given)
        self.feed("process_exec", process=section, user=proc.user)
        return proc

    def exit(self, *procs: Proc) -> list[Event]:
        """End processes."""
        return [fact for proc in procs for fact in self.feed("process_exit", process=proc.process, user=proc.user)]

    def service(self, name: str = "vllm", image: str = "python3", args: str = "-m vllm", **given: Any) -> Proc:
        """Start the main process of a system service."""
        return self.exec(image, args, parent=self.init, session=None, **(vllm(name) | given))

    def login(self, user: User = ANN, tty: int = 34816) -> Proc:
        """Log a person in over ssh and return the shell."""
        sshd = self.exec("sshd", parent=self.init, cgroup="/system.slice/ssh.service", user=ROOT)
        scope = f"/user.slice/user-{user.id}.slice/session-3.scope"
        pid = self._pid + 1
        return self.exec(
            "bash", parent=sshd, cgroup=scope, user=user, tty=tty, interactive=True, session=pid, audit_session=3
        )

    # -- files ---------------------------------------------------------------------------------------------------

    def protect(self, path: str = "/models/llama/w.safetensors", model: str = "llama", size: int = 512 * MIB) -> File:
        """Put a protected file on the host."""
        file = self.file(path, size)
        key = (file.device or 0, file.inode or 0)
        self.protected[key] = Protected(path, model, file.device, file.inode, size)
        self.provenance.copies.outline.stale()
        return file

    def file(self, path: str, size: int = 0, **given: Any) -> File:
        """Return a new file, its inode its own."""
        self._inode += 1
        fields = {"device": 5, "inode": self._inode, "links": 1, "type": "file", "uid": 1000}
        return File(path=path, name=path.rpartition("/")[2], size=size, **(fields | given))

    def on(self, action: str, file: File, proc: Proc | None = None, **given: Any) -> list[Event]:
        """Feed a file event; without a process nobody was seen."""
        return self.feed(action, file=file, process=proc.process if proc else None, **given)

    def open(self, file: File, proc: Proc | None = None, **given: Any) -> list[Event]:
        """Open a watched file for reading."""
        return self.on("file_open", file, proc, **given)

    def read(self, file: File, proc: Proc, share: float = 1.0, **given: Any) -> list[Event]:
        """Tell how much of a watched file a process has read so far, as the kernel does."""
        about = Context(
            tier="kernel", attribution="kernel", mode="read", precision="bytes", share=share,
            bytes=int(share * (file.size or 0)),
        )  # fmt: skip
        return self.on("file_read", file, proc, replguard=msgspec.structs.replace(about, **given))

    def grow(self, path: str, size: int, proc: Proc, *, close: bool = True, **given: Any) -> File:
        """Create and write a file as the kernel tells it: at each doubling, and when it is closed."""
        file = self.file(path, **given)
        kernel = Context(tier="kernel", attribution="kernel")
        self.on("file_create", file, proc, replguard=kernel)
        self.wait(0.5)
        whole = msgspec.structs.replace(file, size=size)
        self.on("file_grow", whole, proc, replguard=msgspec.structs.replace(kernel, bytes=size))
        if close:
            self.on("file_close_write", whole, proc, replguard=kernel)
        return whole

    def tick(self) -> list[Event]:
        """Let a second pass, and return the facts that it brings."""
        self.wait(1)
        return self._take(self.provenance.tick(self.now))

    def map(self, file: File, proc: Proc) -> list[Event]:
        """Map a watched file."""
        return self.on("file_map", file, proc)

    def write(self, path: str, size: int, proc: Proc | None = None, **given: Any) -> File:
        """Create a file, write it and close it."""
        file = self.file(path, **given)
        self.on("file_create", file, proc)
        self.wait(1)
        whole = msgspec.structs.replace(file, size=size)
        self.on("file_close_write", whole, proc)
        return whole

    def examined(self, file: File, *found: tuple[File, float], **given: Any) -> list[Event]:
        """Let the examiner say which protected files, and what share of each, a file holds."""
        self.wait(0.05)
        matches = tuple(self._match(origin, share) for origin, share in found)
        asked = [r for r in self.requests if (r.device, r.inode) == (file.device, file.inode)]
        reason = given.pop("reason", asked[-1].reason if asked else "")
        request = Request(path=file.path, device=file.device, inode=file.inode, reason=reason)
        fields = {"size": file.size, "index_ready": True} | given
        result = Examination(
            request, self.now, file.path, device=file.device, inode=file.inode, matches=matches, **fields
        )
        return self._take(self.provenance.examined(result))

    def _match(self, origin: File, share: float) -> Match:
        model = self.protected[origin.device or 0, origin.inode or 0].model
        return Match(model, origin.path, origin.device, origin.inode, share, 60, 64, origin.size or 0)

    def copy(self, origin: File, path: str, proc: Proc | None = None, share: float = 1.0) -> list[Event]:
        """Copy a protected file as ``cp`` does, seen by a process or by none, and have it examined."""
        self.open(origin, proc)
        made = self.write(path, int((origin.size or 0) * share), proc)
        return self.examined(made, (origin, share))

    # -- sockets and devices -------------------------------------------------------------------------------------

    def listen(self, proc: Proc | None, address: str, transport: str = "tcp", **given: Any) -> list[Event]:
        """Listen at ``ip:port`` or at a path."""
        return self._socket("socket_listen", proc, address, transport, **given)

    def unlisten(self, proc: Proc | None, address: str) -> list[Event]:
        """Close a listener."""
        return self._socket("socket_close", proc, address, "tcp")

    def _socket(self, action: str, proc: Proc | None, address: str, transport: str, **given: Any) -> list[Event]:
        ip, colon, port = address.rpartition(":")
        server = Endpoint(ip=ip, port=int(port)) if colon and transport != "unix" else Endpoint(path=address)
        process = proc.process if proc else None
        return self.feed(action, process=process, server=server, network=Network(transport=transport), **given)

    def use(self, holder: Proc, path: str, user: Proc | None, status: str = "used") -> list[Event]:
        """Tell who uses a Unix socket of a process; with status idle, that nobody does."""
        return self.feed(
            "socket_used",
            process=user.process if user else None,
            target=holder.process,
            server=Endpoint(path=path),
            replguard=Context(tier="portable", attribution="lineage", status=status),
        )

    def join(self, front: Proc, holder: Proc) -> list[Event]:
        """Tell that a pipe, a socket pair or shared memory joins one who listens to one who holds."""
        return self.feed("process_joined", process=front.process, target=holder.process)

    def connect(
        self, proc: Proc | None, port: int, ip: str = "127.0.0.1", source: str | None = None, inode: int | None = None
    ) -> list[Event]:
        """Open a connection, and get a reply over it; with an inode, one more over the connection that has it."""
        local = source or (ip if ip.startswith("127.") else "10.0.0.1")
        return self.feed(
            "network_connection",
            process=proc.process if proc else None,
            source=Endpoint(ip=local, port=40000),
            destination=Endpoint(ip=ip, port=port),
            network=Network(transport="tcp", initiated=True, inode=inode),
        )

    def answer(self, proc: Proc, port: int, status: str, received: int | None) -> list[Event]:
        """Tell a connection to this host as the kernel does: how it ended up, and what came back on it."""
        return self.feed(
            "network_connection",
            process=proc.process,
            source=Endpoint(ip="127.0.0.1", port=40001),
            destination=Endpoint(ip="127.0.0.1", port=port),
            network=Network(transport="tcp", initiated=True, inode=78, bytes=received),
            replguard=Context(tier="kernel", attribution="kernel", status=status),
        )

    def send(
        self,
        proc: Proc | None,
        amount: int,
        ip: str | None = "203.0.113.9",
        port: int = 443,
        *,
        transport: str = "tcp",
        own: int | None = None,
        path: str | None = None,
    ) -> list[Event]:
        """Send bytes to a destination; with a port of its own, on a connection that it accepted there."""
        return self.feed(
            "network_volume",
            process=proc.process if proc else None,
            source=Endpoint(port=own) if own else None,
            destination=Endpoint(ip=ip, port=None if own or path else port, path=path),
            network=Network(transport=transport, initiated=own is None, bytes=amount),
            replguard=Context(tier="kernel", attribution="kernel"),
        )

    def gpu(self, proc: Proc, memory: int | None, device: str = "GPU-0") -> list[Event]:
        """Tell what memory of a device a process has."""
        return self.feed("gpu_usage", process=proc.process, gpu=Gpu(id=device, memory_bytes=memory))

    # -- scenes --------------------------------------------------------------------------------------------------

    def server(self, weights: File, port: int = 8000, **given: Any) -> Proc:
        """Start a model server as a service: it maps the weights, then listens."""
        main = self.service(**given)
        self.map(weights, main)
        self.listen(main, f"127.0.0.1:{port}")
        return main

    def turn(self, agent: Proc, port: int = 8000, command: str = "ls -la") -> Proc:
        """Let an agent get a reply and run a shell command; return the shell."""
        self.connect(agent, port)
        self.wait(0.5)
        return self.exec("sh", ("-c", command), parent=agent)

    def agent(self, parent: Proc, port: int = 8000, image: str = "python3", args: str = "agent.py") -> Proc:
        """Start an agent and let it be confirmed by two turns."""
        agent = self.exec(image, args, parent=parent)
        for _ in range(2):
            self.wait(1)
            self.exit(self.turn(agent, port))
        assert agent.confirmed_agent
        return agent
