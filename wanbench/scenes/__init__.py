"""Rendered scenes with exactly known motion, damage done to them, and the writer of video files."""
