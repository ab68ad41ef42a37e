"""Certificate authorities in memory: for tests and for a measurement."""

from cryptography.hazmat.primitives.asymmetric import ec

from cloud_sync.clock import Clock
from cloud_sync.trust.authority import Authority, new_authority, next_since


class MemoryAuthority:
    """A `CertificateAuthority` that ends with the process; see the port for its promises."""

    def __init__(self, clock: Clock) -> None:
        """Make the first authority.

        Args:
            clock: The time.
        """
        self._clock = clock
        self._made = 0
        self._held: tuple[Authority, ...] = ()
        self.rotate()

    def authorities(self) -> tuple[Authority, ...]:
        """See `CertificateAuthority.authorities`."""
        return self._held

    def rotate(self) -> Authority:
        """See `CertificateAuthority.rotate`."""
        made = self._new()
        self._held = (*self._held, made)
        return made

    def retire(self, authority_id: str) -> None:
        """See `CertificateAuthority.retire`."""
        ids = [each.authority_id for each in self._held]
        if authority_id not in ids:
            raise LookupError(f"no authority has the id {authority_id}")
        if authority_id == ids[-1]:
            raise ValueError("the newest authority is not retired")
        self._held = tuple(each for each in self._held if each.authority_id != authority_id)

    def _new(self) -> Authority:
        self._made += 1
        key = ec.generate_private_key(ec.SECP256R1())
        return new_authority(key, f"{self._made:08x}", next_since(self._held, self._clock.wall()))
