"""What the docs promise of a connected city, shown on its real processes behind proxies."""
