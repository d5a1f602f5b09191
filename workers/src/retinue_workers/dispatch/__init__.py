"""Turn one message into its tasks, and its tasks into results."""
