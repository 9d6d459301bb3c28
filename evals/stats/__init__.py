"""Statistics: intervals, weighted means and quantiles, and paired tests for racing.

They work on numbers alone: nothing here is imported from the rest of Orkester.
"""
