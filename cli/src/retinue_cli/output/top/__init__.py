"""Draw a live view of a pool: ``retinue top``."""
