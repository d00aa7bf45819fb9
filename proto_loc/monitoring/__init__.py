"""Monitoring: figures for Prometheus, and the look at the platform that finds incidents."""
