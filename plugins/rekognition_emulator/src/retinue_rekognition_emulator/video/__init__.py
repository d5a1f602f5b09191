"""Rekognition's operations on stored videos: jobs, their completion messages and their results."""
