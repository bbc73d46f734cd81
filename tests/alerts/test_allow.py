import msgspec
import yaml
from support.making import AGENT, NOBODY, SERVICE, at, copy_fact, detection, event, process, server_fact

from replguard.alerts.allow import AGENT_WARNING, WARNING, hint
from replguard.alerts.story import tell
from replguard.events.event import Event
from replguard.events.fact import Context, FileRef
from replguard.events.host import Container, Image, Orchestrator, Resource
from replguard.events.process import User


def parsed(*events):
    text = hint(tell(detection(*events)))
    assert text is not None
    return text, yaml.safe_load(text)


def test_a_unit_that_copies_becomes_a_job():
    """The unit alone names a service; what it did is what it may."""
    text, made = parsed(copy_fact(1, actor=SERVICE, unit="backup.service/0123"))
    assert text.startswith(WARNING)
    assert made == {
        "jobs": [
            {
                "name": "allow-backup-service",
                "weights": ["/models/x.safetensors"],
                "unit": "backup.service",
                "may": ["access", "copy"],
            }
        ]
    }


def test_a_server_becomes_a_deployment():
    """An instance is allowed with its ports and its number."""
    origin = FileRef(path="/models/x.safetensors")
    _, made = parsed(server_fact(1, actor=SERVICE, unit="backup.service/0123", origin=origin, generation=1))
    assert made["deployments"] == [
        {
            "name": "allow-backup-service",
            "weights": ["/models/x.safetensors"],
            "unit": "backup.service",
            "ports": [8001],
            "max_instances": 1,
        }
    ]


def test_an_agent_is_warned_of():
    """An agent's entry says that it is one, under a stronger warning."""
    text, made = parsed(copy_fact(1))
    assert text.startswith(AGENT_WARNING)
    assert made["jobs"][0] | {"weights": None} == {
        "name": "allow-cp",
        "weights": None,
        "user": 1000,
        "executable": "/usr/bin/cp",
        "agent": True,
        "may": ["access", "copy"],
    }


def test_a_shard_stands_for_the_shards_of_its_model():
    """And for nothing else in the folder: an alert is about a model."""
    for path, glob in {
        "/m/[x]/model-00007-of-00030.safetensors": "/m/[[]x]/model-[0-9][0-9][0-9][0-9][0-9]-of-00030.safetensors",
        "/m/model.ckpt.data-00000-of-00002": "/m/model.ckpt.data-[0-9][0-9][0-9][0-9][0-9]-of-00002",
        "/m/consolidated.03.pth": "/m/consolidated.[0-9][0-9].pth",
        "/m/model-00007.safetensors": "/m/model-00007.safetensors",
    }.items():
        _, made = parsed(copy_fact(1, actor=SERVICE, unit="b.service/1", origin=FileRef(path=path)))
        assert made["jobs"][0]["weights"] == [glob]


def test_each_principal_of_a_sequence_has_its_entry():
    """Who copied may copy, who serves may serve; to read what it serves needs no job."""
    copied = copy_fact(1, actor=SERVICE, unit="copy.service/1")
    served = server_fact(2, actor=SERVICE, unit="serve.service/1", generation=1, origin=FileRef(path="/models/y"))
    _, made = parsed(copied, served)
    assert [(d["unit"], d["weights"]) for d in made["deployments"]] == [("serve.service", ["/models/y"])]
    assert [(j["unit"], j["may"]) for j in made["jobs"]] == [("copy.service", ["access", "copy"])]


def test_the_most_stable_key_is_taken():
    """A workload before its container, a container before a unit."""
    fact = copy_fact(1, actor=SERVICE, unit="x.service/1")
    boxed = Event(**{f: getattr(fact, f) for f in fact.__struct_fields__} | {"container": Container(id="ab" * 32)})
    assert parsed(boxed)[1]["jobs"][0]["container"] == "ab" * 32
    pod = Event(
        **{f: getattr(boxed, f) for f in boxed.__struct_fields__}
        | {"orchestrator": Orchestrator(namespace="ml", workload="chat")}
    )
    assert parsed(pod)[1]["jobs"][0]["namespace"] == "ml"


def test_a_container_is_called_by_what_outlives_it():
    """By name and image where its engine tells them, a batch job by its name, and a user's own container by neither."""
    fact, named = copy_fact(1, actor=SERVICE), Container(id="ab" * 32, name="web", image=Image(name="web:1"))
    given = {f: getattr(fact, f) for f in fact.__struct_fields__}
    job = parsed(Event(**given | {"container": named}))[1]["jobs"][0]
    assert (job["container"], job["image"]) == ("web", "web:1")
    pods = Orchestrator(type="slurm", account="research", resource=Resource(type="job", id="7", name="finetune"))
    job = parsed(Event(**given | {"orchestrator": pods}))[1]["jobs"][0]
    assert job["scheduler"] == {"account": "research", "job": "finetune"}
    theirs = msgspec.structs.replace(fact.process, cgroup=f"/user.slice/user-1.slice/libpod-{'ab' * 32}.scope")
    job = parsed(Event(**given | {"container": named, "process": theirs}))[1]["jobs"][0]
    assert "container" not in job


def test_hostile_names_allow_nothing_else():
    """A program called like a glob or like YAML stays one literal value."""
    evil = "/tmp/*\n- name: x\u202e: [a]{}"
    run = event(
        "weights_copy",
        1,
        kind="enrichment",
        process=process(5, evil),
        user=User(id=0),
        replguard=Context(actor=AGENT, model="m"),
    )
    _, made = parsed(run)
    assert list(made) == ["jobs"]
    assert len(made["jobs"]) == 1
    assert made["jobs"][0]["executable"] == "/tmp/[*]\\n- name: x\\u202e: [[]a]{}"


def test_nobody_cannot_be_allowed():
    """Without a principal, or for acts that no entry covers, there is no hint."""
    assert hint(tell(detection(copy_fact(1, actor=NOBODY)))) is None
    run = Event(timestamp=at(0), event=copy_fact(1).event, process=process(), replguard=Context(actor=AGENT))
    assert hint(tell(detection(run))) is None
    assert hint(tell(detection(event("process_exec", 1, process=process(), replguard=Context(actor=AGENT))))) is None
