"""A host to log into by SSH with a key: ``sshd.py ADDRESS PORT FOLDER [all]``. Runs commands, takes files, tunnels.

With ``all`` it takes files as other hosts do, by programs that it starts and that write them to its disk.
The folder gets ``key``, which lets its holder in, and ``ready`` once it listens. Needs no right and no account.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import asyncssh


class Door(asyncssh.SSHServer):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return bool(key == asyncssh.read_public_key(self._folder / "key.pub"))

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return True


class Taker(asyncssh.SFTPServer):
    """Takes files and keeps none: that host's disk is not this one's."""

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        return Path("/dev/null").open("r+b", buffering=0)

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        pass

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        pass


async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run the command that was asked for with the shell."""
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        process.command or "cat",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )
    await process.redirect(stdin=shell.stdin, stdout=shell.stdout)
    process.exit(await shell.wait())


async def main(address: str, port: str, folder: Path, *, whole: bool) -> None:
    """Make the keys, listen, and serve until ended."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(folder / "key")
    key.write_public_key(folder / "key.pub")
    (folder / "key").chmod(0o600)
    await asyncssh.create_server(
        lambda: Door(folder),
        address,
        int(port),
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        process_factory=run,
        sftp_factory=None if whole else Taker,
        allow_scp=not whole,
        encoding=None,
    )
    (folder / "ready").touch()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), whole="all" in sys.argv[4:]))
