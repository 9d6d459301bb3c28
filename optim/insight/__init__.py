"""What a run teaches: effects of knobs, their importance, suggestions, and the choice of one team."""
