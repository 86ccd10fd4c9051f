"""Where clips come from: one reader for each way in which people keep recordings."""
