"""What the law of a place lets an operator switch on; off is the default of everything here.

A profile never switches anything on by itself: a feature needs the profile's leave *and* the
operator's own switch. The reasons are those of reference/gates.md and reference/reliability.md,
2.6; docs/enrollment.md says what riders read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Profile:
    """One legal setting."""

    name: str
    """As given on the command line."""
    presence_allowed: bool
    """Whether entrance cameras may recognize riders who come near, before they reach a gate."""
    presence_why: str
    """The reason, read by whoever tries to switch it on."""


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        each.name: each
        for each in (
            Profile(
                "cn",
                presence_allowed=True,
                presence_why="with the riders' separate consent, a sign at the entrance and "
                "another way in (measures of 2025-06-01)",
            ),
            Profile(
                "eu",
                presence_allowed=False,
                presence_why="a search of everybody who walks by in a central gallery fails "
                "Art. 5(1)(e)(f), 25 and 32 GDPR (EDPB Opinion 11/2024)",
            ),
            Profile(
                "us-il",
                presence_allowed=False,
                presence_why="BIPA, section 15(b), asks for a written release before a face is "
                "measured, and passers-by have given none",
            ),
        )
    }
)
"""By name."""

STRICTEST = "eu"
"""For an operator who has not said where it is."""
