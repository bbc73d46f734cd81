"""How we stand is plain data: it goes over a socket and into a file as it is."""

import msgspec

from replguard.events.standing import SensorLine, Serves


def test_it_goes_out_and_comes_back() -> None:
    """In both forms that it is sent in."""
    line = SensorLine("exec", "process", "kernel", None, "a blind spot")
    serves = Serves(model="m", pid=1, weights=("/w",), ports=(80,), agent=False, user=0)
    for each in (line, serves):
        assert msgspec.json.decode(msgspec.json.encode(each), type=type(each)) == each
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(each), type=type(each)) == each
