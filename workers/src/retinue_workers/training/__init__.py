"""Training of Custom Labels models: data checked first, then followed to the end."""
