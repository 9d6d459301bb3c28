"""The search against others: recorded tables, a generator with known truth, and what is replayed against them."""
