"""A password that is piped, or that SQL sets, is hidden in a line."""

import pytest
from support.credentials import PLAIN

from replguard.masking.mask import mask, masked


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("echo {} | docker login -u me --password-stdin r", "echo *** | docker login -u me --password-stdin r"),
        ('echo -n "{}" | sudo -u x -S cp a b', "echo -n *** | sudo -u x -S cp a b"),
        ("printf 'root:{}' | chpasswd", "printf *** | chpasswd"),
        ("sudo -S cp a b <<< '{} x'; ls", "sudo -S cp a b <<< ***; ls"),
        ("mysql -e \"ALTER USER x IDENTIFIED BY '{}' EXPIRE\"", "mysql -e \"ALTER USER x IDENTIFIED BY '***' EXPIRE\""),
        ("psql -c \"ALTER USER x WITH PASSWORD '{}'\"", "psql -c \"ALTER USER x WITH PASSWORD '***'\""),
    ],
)
def test_phrases(given: str, shown: str) -> None:
    """What it is given to stays, and what follows."""
    text = given.format(PLAIN)
    assert mask(text) == shown
    assert mask(shown) is shown
    assert masked(("sh", "-c", text)) == ("sh", "-c", shown)


@pytest.mark.parametrize(
    "text",
    [
        "echo done | tee f",
        "echo $PW | docker login --password-stdin",
        "sudo -S cp a b < /f",
        "wc <<< 'a b'",
        "sudo cp a b",
    ],
)
def test_what_holds_no_password_stays(text: str) -> None:
    """Other pipes, variables, files."""
    assert mask(text) is text
