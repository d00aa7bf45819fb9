"""Notices by webhook and mail: what is open, what waits for a channel, and its delivery."""
