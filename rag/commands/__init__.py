"""The command line: flags are read, the library is called, and what it says is printed."""
