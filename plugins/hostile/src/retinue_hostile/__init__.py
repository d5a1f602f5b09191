"""Detectors that misbehave in every way, for Retinue's own tests."""
