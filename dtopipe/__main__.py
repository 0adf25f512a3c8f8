"""`python -m dtopipe` is the `dtopipe` command."""

from dtopipe.cli.main import main

if __name__ == "__main__":
    main()
