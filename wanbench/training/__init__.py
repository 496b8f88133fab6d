"""Training of what nobody published: the human-artifact detector."""
