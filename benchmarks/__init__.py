"""Measurements against the bars that were set, beside what others do. Run by ``make bench``."""
