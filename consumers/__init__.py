"""Workers and the handlers they run."""
