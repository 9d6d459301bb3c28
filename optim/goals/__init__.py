"""What a study wants: constraints, the front, and how probable it is that a team is on it."""
