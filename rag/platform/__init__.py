"""What differs between Linux, macOS and Windows, and nothing else: no other room imports or names what only one has.

Every module here is type-checked for all three; ``tests/portable.py`` walks the program with what only POSIX has
taken away.
"""
