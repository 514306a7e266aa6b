"""The shapes of what the routes of monitoring take and answer. No I/O."""
