"""Models that cost money while they are hosted: started when work waits, stopped when none does."""
