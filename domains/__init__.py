"""What is watched: the domains that people register. Knows nothing of checks."""
