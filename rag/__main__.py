"""``python -m rag``."""

from rag.commands.cli import main

if __name__ == "__main__":
    main()
