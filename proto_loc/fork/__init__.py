"""Makes a fork of this repository, takes the demonstration away, and merges later versions."""
