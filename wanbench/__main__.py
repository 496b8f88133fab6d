"""`python -m wanbench` and the `wanbench` command."""

from wanbench.cli import interrupts

interrupts.end_at_once()  # before the imports, which take a tenth of a second

from wanbench.cli.app import main  # noqa: E402

if __name__ == "__main__":
    main()
