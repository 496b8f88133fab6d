"""From a file to a `Clip`, once: reading, choosing frames, and a process of its own for each decoder."""
