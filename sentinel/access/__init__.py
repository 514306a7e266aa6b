"""Who may use the API: keys, stored hashed."""
