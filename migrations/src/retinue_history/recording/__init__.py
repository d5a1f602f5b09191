"""Record what workers did: images, runs, detections, spending, quotas, hosted models."""
