"""Publishes finished runs to Amazon EventBridge."""
