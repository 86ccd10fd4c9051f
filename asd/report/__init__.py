"""Tables that people look at."""
