from replguard.metrics.latency import BOUNDS, Latency


def test_buckets_are_cumulative():
    """Each bucket counts what took at most its bound; the last counts all."""
    latency = Latency()
    for seconds in (0.01, 0.05, 0.2, 4.0, 1000.0):
        latency.observe(seconds)
    buckets, total = latency.read()
    assert [count for _, count in buckets] == [2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5]
    assert [bound for bound, _ in buckets] == [*map(str, BOUNDS), "+Inf"]
    assert total == 1004.26
