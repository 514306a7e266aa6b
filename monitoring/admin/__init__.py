"""What operators see of checks and results, in Django's admin: all of it to be read."""

from monitoring.admin import domains, running, seen

__all__ = ["domains", "running", "seen"]
