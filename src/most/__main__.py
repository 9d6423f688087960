"""`python -m most` is the `most` command."""

from most.cli import main

if __name__ == "__main__":
    main()
