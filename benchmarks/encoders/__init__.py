"""How fast texts become vectors, and how often they must."""
