"""Web pages of the platform: who may ask, and how they are served."""
