"""Parse the options and arguments that several commands share."""
