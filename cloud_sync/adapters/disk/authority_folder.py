"""The operator's certificate authorities in the folder of its keys, beside the key store's files.

`ca-ID.crt` is the certificate, `ca-ID.key` its private key, both for the owner alone. A key is
durable before its certificate has a name, and a certificate is what counts, so a crash leaves an
authority whole or not there. Every machine of the cloud needs the same folder.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cloud_sync.adapters.disk.private_folder import (
    NotPrivate,
    private_folder,
    read_private,
    shred,
    write_private,
)
from cloud_sync.clock import Clock
from cloud_sync.trust.authority import Authority, AuthorityFailed, new_authority, next_since
from cloud_sync.trust.certificate import CertificateRefused, digest_of, key_of_pem, key_to_pem

_ID_BYTES = 4
"""Of an authority's id: it names one among the few that an operator has."""


class FolderAuthority:
    """A `CertificateAuthority` in a folder; see the port for its promises."""

    def __init__(self, folder: Path, *, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        """Take the folder; nothing is read or made before the first call.

        Args:
            folder: Mode 0700, made if missing.
            clock: The time.
            entropy: Gives that many random bytes; `os.urandom` in service.
        """
        self._folder = folder
        self._clock = clock
        self._entropy = entropy
        self._known: tuple[frozenset[tuple[str, int]], tuple[Authority, ...]] | None = None

    def authorities(self) -> tuple[Authority, ...]:
        """See `CertificateAuthority.authorities`; read again when the folder has changed."""
        with self._translated():
            known = self._known
            if known is not None and known[0] == self._mark():
                return known[1]
            private_folder(self._folder)
            if not self._ids():
                with self._locked():
                    if not self._ids():
                        self._add(())
            return self._loaded()

    def rotate(self) -> Authority:
        """See `CertificateAuthority.rotate`."""
        self.authorities()
        with self._translated(), self._locked():
            self._sweep()
            made = self._add(self._loaded())
            self._known = None
            return made

    def retire(self, authority_id: str) -> None:
        """See `CertificateAuthority.retire`."""
        held = [each.authority_id for each in self.authorities()]
        if authority_id not in held:
            raise LookupError(f"no authority has the id {authority_id}")
        if authority_id == held[-1]:
            raise ValueError("the newest authority is not retired")
        with self._translated(), self._locked():
            shred(self._path(authority_id, "crt"))
            shred(self._path(authority_id, "key"))
            self._known = None

    def _add(self, held: tuple[Authority, ...]) -> Authority:
        while (made_id := self._entropy(_ID_BYTES).hex()) in self._ids():
            pass
        key = ec.generate_private_key(ec.SECP256R1())
        made = new_authority(key, made_id, next_since(held, self._clock.wall()))
        write_private(self._path(made_id, "key"), key_to_pem(key))
        write_private(self._path(made_id, "crt"), made.pem)
        return made

    def _sweep(self) -> None:
        """Remove keys whose certificate was never written, or is gone."""
        held = self._ids()
        for path in self._folder.glob("ca-*.key"):
            if path.stem.removeprefix("ca-") not in held:
                shred(path)

    def _loaded(self) -> tuple[Authority, ...]:
        while True:
            mark = self._mark()
            try:
                found = [self._authority(each) for each in self._ids()]
            except FileNotFoundError:
                if self._mark() == mark:
                    raise
                continue  # another process has retired one meanwhile
            held = tuple(sorted(found, key=lambda each: (each.since, each.authority_id)))
            self._known = (mark, held)
            return held

    def _authority(self, authority_id: str) -> Authority:
        key = key_of_pem(read_private(self._path(authority_id, "key")))
        path = self._path(authority_id, "crt")
        certificate = x509.load_pem_x509_certificate(read_private(path))
        public_key = certificate.public_key()
        is_pair = isinstance(public_key, ec.EllipticCurvePublicKey) and (
            digest_of(public_key) == digest_of(key.public_key())
        )
        if not is_pair:
            raise AuthorityFailed(f"{path} is not the certificate of the key beside it")
        return Authority(authority_id, certificate, key)

    def _ids(self) -> frozenset[str]:
        return frozenset(path.stem.removeprefix("ca-") for path in self._folder.glob("ca-*.crt"))

    def _path(self, authority_id: str, kind: str) -> Path:
        return self._folder / f"ca-{authority_id}.{kind}"

    def _mark(self) -> frozenset[tuple[str, int]]:
        """Return what changes whenever a file of the folder comes, goes or is replaced.

        Not the folder's time: two changes within one tick of the kernel's clock have the same.
        """
        with os.scandir(self._folder) as found:
            return frozenset((each.name, each.inode()) for each in found)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time change the folder."""
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, NotPrivate) as problem:
            raise AuthorityFailed(str(problem)) from problem
        except CertificateRefused as problem:
            raise AuthorityFailed(f"{self._folder} holds what is {problem}") from None
        except ValueError:
            raise AuthorityFailed(f"{self._folder} holds what is no certificate") from None
