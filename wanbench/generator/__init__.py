"""The reference generator of the Wan family: knows nothing of the benchmark, and the benchmark nothing of it."""
