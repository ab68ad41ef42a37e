"""The outside world, behind the ports of this package."""
