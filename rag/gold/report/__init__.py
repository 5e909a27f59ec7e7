"""What a person reads of a run: in the terminal, as HTML, in a CI."""
