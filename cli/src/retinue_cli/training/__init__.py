"""Train Custom Labels models: check the data, then follow the training to its end."""
