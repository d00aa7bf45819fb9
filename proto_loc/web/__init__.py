"""Web servers of the platform: authentication, origin checks and limits."""
