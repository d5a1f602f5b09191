"""Receive messages from SQS, keep them leased, delete them; parse S3 events and read objects."""
