"""A generation made anew beside the one that answers; see docs/generations.md."""
