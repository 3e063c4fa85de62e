"""What is called from Python: a search in one call, what it came to, its report."""
