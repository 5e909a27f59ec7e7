"""The page's panels: each one's events in, the changes of its components out. Nothing here is logic of its own."""
