"""Readers of the formats in which object detectors answer."""
