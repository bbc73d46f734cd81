"""The fewest plays in which every two choices meet: what fails is mostly a matter of two things that come together."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product

Play = tuple[str, ...]
Pair = frozenset[tuple[str, str]]


def covering(
    axes: Mapping[str, Sequence[str]], allowed: Callable[[Mapping[str, str]], bool] = lambda _: True
) -> list[Play]:
    """Return plays, a choice of each axis, that together hold every allowed pair of choices of two axes.

    The same axes give the same plays. Greedy: each play is the one that begins with the first pair still missing
    and takes from axis to axis what brings most of the others.
    """
    missing = dict.fromkeys(
        pair
        for (one, many), (other, more) in combinations(axes.items(), 2)
        for first, second in product(many, more)
        if allowed({one: first, other: second}) and (pair := frozenset({(one, first), (other, second)}))
    )
    plays: list[Play] = []
    while missing:
        play = dict(sorted(next(iter(missing))))
        for axis, choices in axes.items():
            if axis not in play:
                fitting = [choice for choice in choices if allowed(play | {axis: choice})]
                turn = len(plays) % len(fitting)  # of equals another one each time
                best = max(
                    (*fitting[turn:], *fitting[:turn]),
                    key=lambda choice: sum(frozenset({(axis, choice), chosen}) in missing for chosen in play.items()),
                )
                play[axis] = best
        for met in combinations(play.items(), 2):
            missing.pop(frozenset(met), None)
        plays.append(tuple(play[axis] for axis in axes))
    return plays
