"""Review images: queues, people's answers, and the ground truth that they settle."""
