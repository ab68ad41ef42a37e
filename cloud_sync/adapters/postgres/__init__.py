"""The cloud's database: views, master gallery, taps, devices, fleet, erasures."""
