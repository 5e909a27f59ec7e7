"""The truth in one SQLite file."""
