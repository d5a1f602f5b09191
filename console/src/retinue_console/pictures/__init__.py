"""Pictures: the bytes of originals, decoded in limited processes, re-encoded and cached on disk."""
