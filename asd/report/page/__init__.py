"""The page that people open after a grid: tables, plots and sound of the runs under one name, readable from disk."""
