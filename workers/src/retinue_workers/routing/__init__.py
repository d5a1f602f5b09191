"""Which images a detector is given: conditions from the settings, decided for each image.

``route.py`` spells them, ``decision.py`` decides, ``junction.py`` holds what is known of one image,
``facts.py`` asks S3, and ``router.py`` puts it together.
"""
