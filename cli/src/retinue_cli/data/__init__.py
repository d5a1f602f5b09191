"""Move labelled data in and out of the history: evaluation, exports, imported ground truth."""
