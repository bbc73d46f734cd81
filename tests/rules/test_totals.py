import math
import random
from statistics import mean, median
from types import SimpleNamespace

import pytest

from replguard.rules.totals import nearest, total
from replguard.rules.window import percentile

EXACT = {
    "value_count": lambda values: len(set(values)),
    "value_sum": math.fsum,
    "value_avg": mean,
    "value_median": median,
    "value_percentile": lambda values: percentile(values, 95),
}


@pytest.mark.parametrize("kind", EXACT)
def test_a_sliding_total_is_that_of_the_values_inside(kind):
    """Whatever was added and dropped before: as near as it says, and exact where it counts or ranks."""
    chance, inside = random.Random(5), []
    kept = total(SimpleNamespace(type=kind, percentile=95))
    for _ in range(2000):
        if inside and chance.random() < 0.45:
            kept.drop(inside.pop(0))
        else:
            inside.append(float(chance.choice([0, 1, 1, 2.5, 1e9, -3, chance.random()])))
            kept.add(inside[-1])
        if inside:
            assert abs(kept.now() - EXACT[kind](inside)) <= kept.blur
    assert kind in ("value_sum", "value_avg") or not kept.blur


@pytest.mark.parametrize("percent", [1, 5, 33.3, 50, 90, 95, 99, 100])
def test_the_nearest_rank(percent):
    """As the percentile of an unordered list has it."""
    for count in range(1, 60):
        assert nearest(count, percent) == percentile([float(number) for number in range(count)], percent)
