"""The shape of every JSON document that the API answers."""
