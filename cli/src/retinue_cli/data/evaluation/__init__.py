"""Measure how right a detector is: its detections against ground truth, with COCO's measures."""
