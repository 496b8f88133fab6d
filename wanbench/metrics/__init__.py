"""One dimension, one file; the folder is scanned by `wanbench.dimension.load_all`."""
