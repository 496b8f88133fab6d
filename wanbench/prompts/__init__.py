"""Suites of prompts."""
