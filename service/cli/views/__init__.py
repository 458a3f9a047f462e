"""How each answer of the API looks in a terminal. Imported when something is shown: these may import rich."""
