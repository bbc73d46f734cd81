import http.client
import json
import threading

import pytest

from replguard.drill import dummy, script, server
from replguard.drill.script import Script, Track, Turn

MIND = Script((Track("", (Turn("hm", "ls"),)),))


@pytest.fixture
def running(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"\x01" * (3 * server.PAGE))
    weights = server.Weights([file], read=False, seconds=0)
    one = server.Server(0, weights=weights, mind=MIND, generation=0)
    thread = threading.Thread(target=one.serve_forever, args=(0.01,))
    thread.start()
    yield one
    one.shutdown()
    thread.join()
    one.server_close()
    weights.parts[0].close()


def request(one, method, path, body=None):
    connection = http.client.HTTPConnection(*one.server_address[:2], timeout=5)
    connection.request(method, path, body)
    answer = connection.getresponse()
    result = answer.status, json.loads(answer.read())
    connection.close()
    return result


def test_a_chat_is_answered_with_the_scripted_turn(running):
    """The reply has the form that common clients read, and carries the model's command."""
    status, body = request(running, "POST", "/v1/chat/completions", '{"messages": [{"role": "user", "content": "x"}]}')
    assert status == 200
    assert script.command(body["choices"][0]["message"]["content"]) == "ls"


def test_health_is_told(running):
    """A liveness probe gets a plain answer, another path does not."""
    assert request(running, "GET", "/health") == (200, {"status": "ok"})
    assert request(running, "GET", "/else")[0] == 404


@pytest.mark.parametrize("body", ["", "{", "[]", '{"messages": 5}'])
def test_a_bad_request_is_refused(running, body):
    """Anything but chat messages is a client's error and leaves the server running."""
    assert request(running, "POST", "/v1/chat/completions", body)[0] == 400
    assert request(running, "GET", "/health")[0] == 200


@pytest.mark.parametrize("read", [True, False])
def test_every_page_is_touched(tmp_path, read):
    """Mapped or read, one byte of each page of each file goes into a forward pass."""
    files = []
    for name in "ab":
        files.append(tmp_path / name)
        files[-1].write_bytes(b"\x02" * (4 * server.PAGE))
    weights = server.Weights(files, read=read, seconds=0)
    assert weights.forward() == 2 * 4 * 2
    if not read:
        for part in weights.parts:
            part.close()


def test_a_folder_stands_for_its_weights(tmp_path):
    """A folder means its safetensors files, a file means itself, whatever its name."""
    files = dummy.write_model(tmp_path / "m", tensors=2, shards=2)
    assert server.weight_files([tmp_path / "m", tmp_path / "x"]) == [*files, tmp_path / "x"]


def test_a_folder_without_weights_is_an_error(tmp_path, capsys):
    """A server without weights does not start: an answer from nothing would be no replica."""
    with pytest.raises(SystemExit) as ended:
        server.main(["--weights", str(tmp_path), "--port", "0"])
    assert ended.value.code == 2
    assert "no weights" in capsys.readouterr().err
