"""What stands in where a program cannot be had; each says why on top."""
