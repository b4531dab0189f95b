"""What better retrieval costs."""
