"""The pages of keys and of users, for who has the scope admin."""

from sentinel.access.admin import keys, users

__all__ = ["keys", "users"]
