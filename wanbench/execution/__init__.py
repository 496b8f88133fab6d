"""Where work is done: child processes on this machine, or actors on a Ray cluster, behind one interface."""
