"""The truth in a PostgreSQL database, for several machines."""
