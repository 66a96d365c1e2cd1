"""`python -m parley` is the `parley` command."""

from simulations.cli import main

if __name__ == "__main__":
    main()
