"""A run, from what it is asked for to its summary: samples, plan, workers, record, and the making of videos beside it."""
