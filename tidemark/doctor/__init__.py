"""Looks a set-up over: `gather` and `machine` gather facts, and pure functions judge them."""
