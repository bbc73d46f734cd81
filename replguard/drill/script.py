"""What a drill's model says: a script that lies beside its weights, told turn by turn like a conversation."""

import json
from pathlib import Path
from typing import Any

import msgspec

FILE_NAME = "script.json"
"""The name beside the weights. A copy of the model's folder takes its mind along, as a copy of weights does."""
FINISH = "finish"


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reply of the model: what it says, and the shell command that it wants run."""

    say: str
    command: str | None = None


class Track(msgspec.Struct, frozen=True):
    """The turns of a conversation whose first message contains ``when``; an empty ``when`` fits any."""

    when: str
    turns: tuple[Turn, ...]


class Script(msgspec.Struct, frozen=True):
    """Everything that a model will say; the first track that fits is told."""

    tracks: tuple[Track, ...]

    def reply(self, messages: list[Any]) -> Turn:
        """Return the next turn of a conversation given as chat messages; past its end, the model finishes."""
        said = [m for m in messages if isinstance(m, dict)]
        first = next((str(m.get("content", "")) for m in said if m.get("role") == "user"), "")
        track = next((t for t in self.tracks if t.when in first), None)
        turn = sum(1 for m in said if m.get("role") == "assistant")
        if track is None or turn >= len(track.turns):
            return Turn("Done.", None)
        return track.turns[turn]

    def save(self, folder: Path) -> None:
        """Write the script beside the weights. Raises OSError."""
        (folder / FILE_NAME).write_bytes(msgspec.json.encode(self))


def load(path: Path) -> Script:
    """Return the script in a file. Raises OSError, or msgspec.DecodeError for a file that is none."""
    script: Script = msgspec.json.decode(path.read_bytes(), type=Script)
    return script


def content(turn: Turn) -> str:
    """Return a turn as the text that the model generates: a thought, and one action as JSON."""
    action = {"action": FINISH} if turn.command is None else {"action": "execute", "command": turn.command}
    return f"{turn.say}\n{json.dumps(action)}"


def command(text: str) -> str | None:
    """Return the command in a generated text, or None when the model has finished."""
    try:
        action = json.loads(text.rsplit("\n", 1)[-1])
    except ValueError:
        return None
    wanted = action.get("command") if isinstance(action, dict) else None
    return wanted if isinstance(wanted, str) else None
