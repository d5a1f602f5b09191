"""Puts Retinue into an AWS account and looks after it there: ``make deploy`` and its kin.

``deployment`` has the order of things, ``ports`` what it needs of the world, and the other files
one noun each. Nothing here runs in AWS; it drives Terraform, a container builder and AWS's own API.
"""
