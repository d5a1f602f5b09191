"""Read the history: queries, exports, comparisons, failed images, and imported ground truth."""
