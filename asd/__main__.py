"""`python -m asd` is the console command `asd`."""

from asd.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
