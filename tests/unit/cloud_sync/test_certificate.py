"""Certificates, requests and proofs, with what a forger would try."""

import base64
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from cloud_sync.taps.signing import NodeKey
from cloud_sync.trust import authority, possession
from cloud_sync.trust.authority import (
    AUTHORITY_LIFETIME,
    OVERLAP,
    Authority,
    bundle,
    listener_signer,
    new_authority,
    retirable_from,
    serial_of,
    sign_listener,
    sign_node,
    signer,
)
from cloud_sync.trust.certificate import (
    PEM_MAX,
    CertificateRefused,
    digest_of,
    key_of_pem,
    key_to_pem,
    new_request,
    read_node,
    read_request,
)
from cloud_sync.trust.device import BACKDATED, GRACE, LIFETIME, Identity

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
EDGE = Identity("bell-tower", "edge-1")
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def made(authority_id: str = "0a", now: datetime = NOON) -> Authority:
    """Return an authority with a key of its own."""
    return new_authority(ec.generate_private_key(ec.SECP256R1()), authority_id, now)


def _armored(der: bytes) -> bytes:
    text = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


OURS = made()


def signed(by: Authority = OURS) -> bytes:
    """Return a certificate for the edge's key."""
    return sign_node(by, KEY.public_key(), EDGE, serial=serial_of(b"\x07" * 19), now=NOON)


class TestNodeCertificate:
    """What an authority signs for a node."""

    def test_says_who_and_how_long(self) -> None:
        """Identity, key, a week from now, a little earlier for slow clocks, and ours."""
        found = read_node(signed(), [OURS.certificate])

        certified = found.certified
        assert certified.identity == EDGE
        assert certified.key_digest == digest_of(KEY.public_key())
        assert (certified.not_before, certified.not_after) == (NOON - BACKDATED, NOON + LIFETIME)
        assert certified.serial == "7" + "07" * 18
        assert certified.is_ours

    def test_of_an_authority_that_is_gone_is_foreign(self) -> None:
        """Of another authority, or of one retired since, a certificate is not ours."""
        assert not read_node(signed(), [made("0b").certificate]).certified.is_ours
        assert not read_node(signed(), []).certified.is_ours

    def test_of_an_impostor_with_the_same_name_is_foreign(self) -> None:
        """An authority that only calls itself like ours signs nothing of ours."""
        assert not read_node(signed(made()), [OURS.certificate]).certified.is_ours

    def test_the_cloud_is_no_node(self) -> None:
        """A listener's certificate does not pass for a node's, nor a node's for a listener's."""
        pem = sign_listener(OURS, KEY.public_key(), ["localhost"], serial=9, now=NOON)
        with pytest.raises(CertificateRefused):
            read_node(pem, [OURS.certificate])

        usage = x509.load_pem_x509_certificate(signed()).extensions.get_extension_for_class(
            x509.ExtendedKeyUsage
        )
        assert [each.dotted_string for each in usage.value] == ["1.3.6.1.5.5.7.3.2"]

    @pytest.mark.parametrize(
        "names",
        [
            [],
            [x509.DNSName("edge-1")],
            [x509.UniformResourceIdentifier("spiffe://elsewhere/station/a/edge/b")],
            # Two names: which one would count?
            [
                x509.UniformResourceIdentifier(EDGE.uri),
                x509.UniformResourceIdentifier(Identity("drum-tower", "edge-9").uri),
            ],
        ],
    )
    def test_one_name_or_none_at_all(self, names: list[x509.GeneralName]) -> None:
        """A certificate without exactly one name of ours is nobody's, whoever signed it."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(OURS.certificate.subject)
            .public_key(KEY.public_key())
            .serial_number(5)
            .not_valid_before(NOON)
            .not_valid_after(NOON + LIFETIME)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        pem = builder.sign(OURS.key, SHA256()).public_bytes(Encoding.PEM)

        with pytest.raises(CertificateRefused, match="does not name"):
            read_node(pem, [OURS.certificate])

    def test_each_byte_counts(self) -> None:
        """A certificate changed anywhere is refused, is not ours, or says the same of the node."""
        good = read_node(signed(), [OURS.certificate]).certified
        der = x509.load_pem_x509_certificate(signed()).public_bytes(Encoding.DER)
        for place in range(len(der)):
            broken = bytearray(der)
            broken[place] ^= 0x01
            try:
                found = read_node(_armored(bytes(broken)), [OURS.certificate]).certified
            except CertificateRefused:
                continue
            assert not found.is_ours or found == good

    @pytest.mark.parametrize("pem", [b"", b"no certificate", b"x" * (PEM_MAX + 1)])
    def test_refuses_what_is_none(self, pem: bytes) -> None:
        """Other bytes, or far too many, are refused."""
        with pytest.raises(CertificateRefused):
            read_node(pem)


class TestRequest:
    """What a node asks for."""

    def test_names_the_node_and_its_key(self) -> None:
        """The cloud reads who asks, and that the key is the asker's."""
        request = read_request(new_request(KEY, EDGE))

        assert (request.identity, request.key_digest) == (EDGE, digest_of(KEY.public_key()))

    def test_each_byte_counts(self) -> None:
        """A request changed anywhere is refused, or still names the same node with the same key."""
        der = new_request(KEY, EDGE)
        for place in range(len(der)):
            broken = bytearray(der)
            broken[place] ^= 0x01
            try:
                request = read_request(bytes(broken))
            except CertificateRefused:
                continue
            assert (request.identity, request.key_digest) == (EDGE, digest_of(KEY.public_key()))

    def test_refuses_keys_that_tls_would(self) -> None:
        """A key on another curve, or of another kind, is refused before it is certified."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(EDGE.uri)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        builder = builder.add_extension(names, critical=True)
        large = builder.sign(ec.generate_private_key(ec.SECP384R1()), SHA256())
        edwards = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)

        for request in (large, edwards):
            with pytest.raises(CertificateRefused, match="P-256"):
                read_request(request.public_bytes(Encoding.DER))


class TestPossession:
    """A proof that the key is at hand."""

    def test_serves_one_purpose_once(self) -> None:
        """Another key, purpose, challenge or payload, and the proof is worth nothing."""
        proof = possession.prove(KEY, possession.RENEW, b"c" * 32, b"payload")
        good = (KEY.public_key(), proof, possession.RENEW, b"c" * 32, b"payload")
        changed = [
            (0, OTHER.public_key()),
            (1, possession.prove(OTHER, possession.RENEW, b"c" * 32, b"payload")),
            (1, b"no signature"),
            (2, possession.TAPS),
            (3, b"d" * 32),
            (4, b"payloae"),
            # The border between two fields does not move.
            (4, b"ayload"),
        ]

        assert possession.is_proven(*good)
        for place, value in changed:
            bad = (*good[:place], value, *good[place + 1 :])
            assert not possession.is_proven(*bad)  # type: ignore[arg-type]

    def test_of_the_tap_key(self) -> None:
        """Only the holder of a tap key can enroll it, and only with this request."""
        key, request = NodeKey(bytes(range(32))), new_request(KEY, EDGE)
        proof = key.sign(possession.tap_key_statement(request))

        assert possession.is_tap_key_proven(key.public_key, proof, request)
        assert not possession.is_tap_key_proven(key.public_key, proof, new_request(OTHER, EDGE))
        assert not possession.is_tap_key_proven(bytes(31), proof, request)
        assert not possession.is_tap_key_proven(NodeKey(bytes(32)).public_key, proof, request)


class TestAuthority:
    """Which of several does what, and for how long."""

    def test_old_ones_serve_and_new_ones_sign(self) -> None:
        """Nodes are signed by the newest, listeners by the oldest, and the bundle holds both."""
        old, new = made("0a"), made("0b", NOON + timedelta(days=1))

        assert signer((old, new)) is new
        assert listener_signer((old, new)) is old
        assert bundle((old, new)).count(b"BEGIN CERTIFICATE") == 2

    def test_an_old_one_goes_when_nobody_needs_it(self) -> None:
        """Not before a node that was away from the rotation on is past its grace."""
        old, new = made("0a"), made("0b", NOON + timedelta(days=300))

        assert retirable_from((old, new), "0a") == NOON + timedelta(days=300) + LIFETIME + GRACE
        assert retirable_from((old, new), "0b") is None
        assert retirable_from((old,), "0a") is None
        assert OVERLAP < AUTHORITY_LIFETIME - authority.ROTATE_AFTER  # so there is time for it

    def test_a_clock_set_back_makes_no_old_authority(self) -> None:
        """The next one is always younger than all, so it is the one that signs."""
        old = made("0a")

        assert authority.next_since((old,), NOON - timedelta(days=9)) > old.since

    def test_shows_its_id_alone(self) -> None:
        """No key and no certificate is in a `repr`."""
        assert repr(OURS) == "Authority(authority_id='0a')"

    def test_signs_listeners_by_names_and_addresses(self) -> None:
        """A host name stays one, an address becomes one."""
        names = ["cloud.example", "127.0.0.1", "::1"]
        pem = sign_listener(OURS, KEY.public_key(), names, serial=9, now=NOON)

        found = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert found.value.get_values_for_type(x509.DNSName) == ["cloud.example"]
        assert found.value.get_values_for_type(x509.IPAddress) == [
            ip_address("127.0.0.1"),
            ip_address("::1"),
        ]


class TestKeyFile:
    """A private key as text."""

    def test_comes_back(self) -> None:
        """What was written is read."""
        again = key_of_pem(key_to_pem(KEY))

        assert digest_of(again.public_key()) == digest_of(KEY.public_key())

    @pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----\nsecret\n"])
    def test_nothing_of_a_broken_one_is_told(self, pem: bytes) -> None:
        """The message of a refusal holds nothing of the file."""
        with pytest.raises(CertificateRefused) as refused:
            key_of_pem(pem)

        assert str(refused.value) == "not a private key"
        assert refused.value.__cause__ is None
