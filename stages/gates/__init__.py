"""Gates: ready-made checks for the arrows of a pipeline."""
