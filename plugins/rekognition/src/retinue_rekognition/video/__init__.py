"""Detectors of videos: Rekognition processes each in a job, and its answer becomes appearances."""
