"""Read from the history for the pages: functions that return frozen dataclasses."""
