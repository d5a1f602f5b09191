"""Find plugins, load them, and create the detectors that the settings name."""
