"""What blocks add up to: measurements of teams, cut answers, guesses, paired tests."""
