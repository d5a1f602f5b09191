"""Show the worker's state to operators: health, metrics, logs and ECS task protection."""
