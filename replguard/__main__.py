"""The way in: ``replguard`` and ``python -m replguard``."""

from replguard.cli import group


def main() -> None:
    """Run the verb that the command line names, and exit with its code."""
    group(prog_name="replguard")


if __name__ == "__main__":
    main()
