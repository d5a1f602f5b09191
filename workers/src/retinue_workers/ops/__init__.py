"""Show an operator how the worker is: health, metrics, logs and ECS task protection."""
