"""Statistics: intervals, weighted means and quantiles, and paired tests for racing."""
