"""Train models on this machine: check and split the images, and keep versions with their cards."""
