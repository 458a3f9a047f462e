"""What a run is made of: stages, gates, pipelines, artifacts, runners."""
