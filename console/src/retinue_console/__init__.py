"""The web console: look at images with their detections, search them, and review them."""
