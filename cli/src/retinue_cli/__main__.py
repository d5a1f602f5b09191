"""Run ``retinue`` as ``python -m retinue_cli``."""

from retinue_cli import main

if __name__ == "__main__":
    main()
