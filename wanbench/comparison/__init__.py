"""Two candidates side by side, and the verdict of a gate. Light half."""
