"""Methods: how data, network and scorer make a run. One file a method; nobody outside asks which one it is."""
