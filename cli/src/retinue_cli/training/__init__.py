"""Train Custom Labels models: check the data, then wait for the training's result."""
