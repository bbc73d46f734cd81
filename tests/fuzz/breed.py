"""Breeds inputs from inputs, as a fuzzer does that sees no coverage: what lives long enough is bred again."""

import random
from collections.abc import Iterator

from fuzz.target import LARGEST, Target

MOST = 512
"""Inputs that are kept to breed from."""
SPECIAL = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"9" * 24,
    b"-1",
    "²".encode(),
    b'"\\ud800"',
    b"1e400",
    b"9999-12-31T23:59:59Z",
    b"2026-01-01T00:00:00",
    b"[" * 24,
)
"""What parsers stumble over; atheris has it for a dictionary."""


def bred(target: Target, chance: random.Random) -> Iterator[bytes]:
    """Yield the seeds, and then inputs without end."""
    pool = list(target.seeds)
    yield from pool
    while True:
        made = mutated(chance.choice(pool), chance, pool)
        yield made
        if chance.random() < 0.05:
            if len(pool) < MOST:
                pool.append(made)
            else:
                pool[chance.randrange(len(target.seeds), MOST)] = made


def mutated(data: bytes, chance: random.Random, pool: list[bytes]) -> bytes:
    """Return the input with a few bytes replaced, cut out, repeated, put in or taken from another."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at, end = sorted(chance.choices(range(len(made) + 1), k=2))
        match chance.randrange(6):
            case 0:
                made[at : at + 1] = chance.randbytes(1)
            case 1:
                made[at : min(end, at + 16)] = b""
            case 2:
                made[at:at] = made[at:end][:256] * chance.randint(1, 3)
            case 3:
                made[at : at + 4] = chance.choice(SPECIAL)
            case 4 if made:
                made[at % len(made)] ^= 1 << chance.randrange(8)
            case _:
                other = chance.choice(pool)
                begin = chance.randrange(len(other) + 1)
                made[at:at] = other[begin : begin + chance.randint(1, 64)]
        del made[LARGEST:]
    return bytes(made)
