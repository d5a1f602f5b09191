"""Decide which detectors an image is given to, by the conditions in the settings.

``decide.py`` decides, ``pending_image.py`` holds what is known of one image,
``object_metadata.py`` asks S3, and ``router.py`` puts it together; ``settings/routes.py`` parses
the conditions.
"""
