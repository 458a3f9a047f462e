"""Whether everything a daemon needs is there and works: one module for each thing that is looked at."""
