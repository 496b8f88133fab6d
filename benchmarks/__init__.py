"""Side-by-side timings; see README."""
