"""A module for each family of formats: ``parse`` makes a document of a file's bytes, ``SAMPLES`` holds small files.

They are imported in the confined child processes alone.
"""
