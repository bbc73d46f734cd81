from replguard.sinks.base import Common, Sink


def test_a_sink_needs_only_send():
    """The rest has harmless defaults."""

    class Least(Sink):
        def send(self, alert):
            pass

    sink = Least()
    sink.idle()
    sink.close()
    assert sink.pause() is None


def test_every_level_by_default():
    """A sink that is told nothing gets all that leaves the host."""
    assert Common().min_level == "informational"
