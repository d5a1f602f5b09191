"""Publish finished runs to Amazon EventBridge."""
