"""A command stands at the beginning, and behind what runs another; nowhere else is a word one."""

import pytest

from replguard.masking.commands import Place


def _names(line: str) -> list[str]:
    place = Place()
    return [name for word in line.split() if (name := place.names(word)) is not None]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("/usr/bin/mysql -p mysql", "mysql"),
        ("systemctl stop wandb login replguard", "systemctl"),
        ("A=b C=d /bin/mysql x", "mysql"),
        ("sudo -u wandb -E systemctl stop x", "sudo systemctl"),
        ("sudo A= -nu x env -u B C=d nice -n 5 nohup cp a b", "sudo env nice nohup cp"),
        ("timeout -s KILL 5 curl mysql", "timeout curl"),
        ("xargs -0 -n 1 rm wandb", "xargs rm"),
        ("docker exec -it --user x c mysql -p", "docker mysql"),
        ("docker compose exec db mysql -p", "docker mysql"),
        ("kubectl exec -n a pod -- mysql", "kubectl mysql"),
        ("docker stop wandb login", "docker"),
        ("ssh -p 22 h mysql -p", "ssh mysql"),
        ("sshpass -p x ssh h", "sshpass ssh"),
        ("if ! 'mysql' x", "if ! mysql"),
        ("* 1-3 * * * root mysql -p", "root mysql"),
        ("@daily systemctl stop mysql", "systemctl"),
        ("ExecStart=-/usr/bin/mysql -px", "mysql"),
        ("ExecStart=/usr/bin/mysql systemctl stop vault", "mysql systemctl"),
        ("-p --x", ""),
    ],
)
def test_where_commands_stand(line: str, names: str) -> None:
    """Options, their values, assignments, limits and containers are none."""
    assert _names(line) == names.split()


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("rm x", True),
        ("sudo rm x", True),
        ("docker rm x", True),
        ("docker login x", False),
        ("x rm", False),
        ("", False),
    ],
)
def test_whether_a_command_takes_no_credential(line: str, plain: bool) -> None:
    """By its name, an engine's by its verb."""
    place = Place()
    for word in line.split():
        place.names(word)
    assert place.plain is plain
