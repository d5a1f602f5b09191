"""Record the workers' results: images, runs, detections, spending, quotas, hosted models."""
