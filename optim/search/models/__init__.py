"""What the search knows of teams: measured rows, a model of the space, and the calls that teams share."""
