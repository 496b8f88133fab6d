"""Does each dimension measure what it claims: clips derived from given ones, and what each dimension declared about them."""
