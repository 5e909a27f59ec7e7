"""What is measured of an answer, and what two runs prove."""
