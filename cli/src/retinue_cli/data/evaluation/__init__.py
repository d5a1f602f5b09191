"""Measure a detector's accuracy against ground truth, with COCO's measures."""
