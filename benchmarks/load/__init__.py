"""How the retrieval service answers many clients at once."""
