"""How pages write instants: as the API does, and not as one country does."""
