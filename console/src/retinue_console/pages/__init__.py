"""The handlers of pages, one file a page."""
