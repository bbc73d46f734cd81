"""Draws an ordinary day from a seed: which models there are, which servers run when, and who does what when."""

import random
from dataclasses import dataclass

from proof.work import PEOPLE, SERVED, WORK, Work
from support.matrix.cases import Case

HOURS = 24.0
FACTOR = 240.0
"""Simulated seconds to a second as played: a day takes six minutes. Only the time between acts is pressed together."""
FIRST, LAST = 0.1, 23.8
"""Hours at which the servers are started and ended."""
NAMES = ("llama-8b", "qwen-7b", "mistral-7b", "gemma-9b", "phi-4", "bge-large", "whisper-v3", "olmo-7b", "granite-8b")
WAYS = ("map", "read", "worker", "scale", "path")


@dataclass(frozen=True, kw_only=True)
class Act(Case):
    """A piece of work at an hour of the day. ``name`` is its alone; ``who`` its service; ``model`` what it is about."""

    hour: float
    kind: str
    who: str
    model: str = ""
    held: float = 0.0
    """Seconds as played for which it goes on: it is a server."""


@dataclass(frozen=True)
class Diary:
    """A day: the tensors of each model that is served and of each that people work with, and its acts in order."""

    seed: int
    served: dict[str, int]
    people: dict[str, int]
    acts: tuple[Act, ...]

    @property
    def models(self) -> dict[str, int]:
        return self.served | self.people


def drawn(seed: int) -> Diary:
    """Return the day of a seed."""
    dice = random.Random(f"day {seed}")
    names = dice.sample(NAMES, 6)
    sizes = {name: dice.choice((1, 2, 2, 3, 5)) for name in names}
    served, people = ({name: sizes[name] for name in some} for some in (names[:4], names[4:]))
    sizes[names[0]] = served[names[0]] = 17  # more than the 64 MiB from which a copy that has begun is told
    acts = [act for work in WORK for act in _some(work, {SERVED: names[:4], PEOPLE: names[4:]}, dice)]
    for name in served:
        acts += _servers(name, dice)
    acts.sort(key=lambda act: act.hour)
    return Diary(seed, served, people, tuple(acts))


def _some(work: Work, models: dict[str, list[str]], dice: random.Random) -> list[Act]:
    first, last = work.hours
    acts = []
    for number in range(dice.randint(*work.times)):
        hour = round(dice.uniform(max(first, 2 * FIRST), min(last, LAST - 0.3)), 2)
        model = dice.choice(models[work.about or SERVED])
        acts.append(
            Act(
                name=f"{work.name} {number + 1}", act=work.text(dice), hand=work.hand, hour=hour, kind=work.name,
                who=work.name.replace(" ", "-"), model=model, may=work.may or None,
            )
        )  # fmt: skip
    return acts


def _servers(model: str, dice: random.Random) -> list[Act]:
    """Return the runs of a model's servers: each is restarted, one after another; at the peak there may be more."""
    way, restart = dice.choice(WAYS), dice.uniform(6.0, 16.0)
    acts: list[Act] = []
    for number in range(dice.randint(1, 2)):
        again = restart + number * dice.uniform(0.3, 1.0)
        begun = FIRST + dice.uniform(0, 0.1)
        acts += [_server(model, number, way, begun, again, dice), _server(model, number, way, again + 0.1, LAST, dice)]
    if dice.random() < 0.6:
        peak = dice.uniform(10.0, 13.0)
        acts.append(_server(model, 2, way, peak, peak + dice.uniform(1.0, 6.0), dice))
    return acts


def _server(model: str, number: int, way: str, begun: float, ended: float, dice: random.Random) -> Act:
    held = (ended - begun) * 3600 / FACTOR
    stop = dice.choice(
        ('touch "$DIR/s0/stop"', "kill $P", 'kill -INT $P; sleep 0.5; touch "$DIR/s0/stop"; kill $P || true')
    )
    text = "\n".join(
        (
            f'mkdir "$DIR/s0"; "$PY" "$RESHAPE" serve "$M" "$DIR/s0" {way} & P=$!',
            'while [ ! -e "$DIR/s0/done" ]; do sleep 0.1; done',
            'if [ -e "$DIR/s0/port" ]; then cp "$DIR/s0/port" "$SHARED/ports/$NAME"; fi',
            f"sleep {held:.1f}",
            f'rm -f "$SHARED/ports/$NAME"; {stop}; touch "$DIR/s0/stop"; wait || true',
        )
    )
    return Act(
        name=f"server {model}-{number} at {begun:.1f}", act=text, hour=round(begun, 2), kind="server",
        who=f"{model}-{number}", model=model, may=("access",), instances=3, held=held,
    )  # fmt: skip
