"""The truth in tables, whichever engine keeps them: one SQL, in what SQLite and PostgreSQL have in common."""
