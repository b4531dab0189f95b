"""How fast actions become profiles."""
