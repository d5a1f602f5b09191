"""The service that ECS runs: consume a queue, run detectors, record what they find."""
