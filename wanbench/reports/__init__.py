"""A finished run as a page, a table or a file for other tools."""
