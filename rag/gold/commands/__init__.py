"""What ``rag gold`` and ``pytest --gold`` do."""
