"""Retinue's worker and command line: consume, pace, detect, persist."""
