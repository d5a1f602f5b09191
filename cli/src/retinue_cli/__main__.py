"""``python -m retinue_cli`` is ``retinue``."""

from retinue_cli import main

if __name__ == "__main__":
    main()
