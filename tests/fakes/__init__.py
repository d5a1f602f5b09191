"""Stand-ins for what the worker talks to: faithful, in memory, and able to fail on demand."""
