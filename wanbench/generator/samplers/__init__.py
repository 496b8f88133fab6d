"""Solvers of the flow from noise to data. One signature: `step(schedule, i, x, v, past) -> (x at the next time, past)`."""
