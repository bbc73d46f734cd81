from replguard.sinks.base import Sink


def test_a_sink_needs_only_send():
    """The rest has harmless defaults."""

    class Least(Sink):
        def send(self, alert):
            pass

    sink = Least()
    sink.idle()
    sink.close()
    assert sink.pause() is None
