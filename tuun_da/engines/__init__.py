"""Where trials run: thin shells over search and training."""
