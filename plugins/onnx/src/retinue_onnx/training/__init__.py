"""Train classifiers and detectors on the features of the bundled networks."""
