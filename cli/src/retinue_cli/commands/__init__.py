"""The commands of ``retinue``, one module each."""
