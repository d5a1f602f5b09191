"""Videos for detectors of images: decode frames in a separate process, and join detections."""
