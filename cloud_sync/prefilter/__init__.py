"""Who is in a station's view: claims, where they come from, and how they are ranked and cut."""
