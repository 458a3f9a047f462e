"""Values of records by the schemas of a registry."""
