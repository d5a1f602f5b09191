"""Run the jobs of services that process videos: start them, look for their ends, record results."""
