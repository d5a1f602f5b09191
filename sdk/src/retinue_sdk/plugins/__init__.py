"""Find plugins, load them, and make the detectors that the settings name."""
