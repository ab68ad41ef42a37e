"""How often Python looks for cycles of garbage, in a process that holds many templates."""

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 50, 50
"""Objects made before a look at the youngest, and how many looks until one at the older ones.
Python's own figures (700, 10, 10) go through all templates again and again while they come in:
with 24,000 a view was read in 1.2 s instead of 0.7 s, a gallery in 1.0 s instead of 0.5 s, and 40 %
of a prefilter's look went that way."""


def look_seldom() -> None:
    """Collect cycles seldom: templates have none, and they are most of what there is."""
    gc.collect()
    gc.freeze()  # what the imports made is there to stay
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
