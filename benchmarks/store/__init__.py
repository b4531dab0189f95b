"""What an index costs that is written all the time, and how soon it answers."""
