"""How right a detector is: what it found, held against ground truth, with COCO's own measures."""
