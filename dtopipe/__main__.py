"""`python -m dtopipe`."""

from dtopipe.cli.main import main

if __name__ == "__main__":
    main(prog_name="dtopipe")
