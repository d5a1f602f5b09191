"""``python -m retinue_workers`` is ``retinue``."""

from retinue_workers.cli import main

if __name__ == "__main__":
    main()
