"""Gold sets, runs and baselines on disk."""
