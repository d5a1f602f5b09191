"""Keep months of detections that left Postgres as Parquet files, in a bucket or a folder.

An archive is a manifest and the files that it lists. Only what it lists counts.
"""
