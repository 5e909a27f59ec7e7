"""The page: a chat beside its evidence, served on the loopback interface."""
