"""Set-up of a clone: environments, Node's packages, locks, and upgrades of them."""
