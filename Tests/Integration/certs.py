"""Certificate authorities and certificates for tests, made when they are needed.

Every file is written below a folder the test gives; keys are mode 0600, as Weir demands.
"""

import datetime
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
_rsa_keys = []


def new_key(kind="ecdsa"):
    if kind == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    # Making an RSA key takes a while; tests need few different ones.
    if len(_rsa_keys) < 3:
        _rsa_keys.append(rsa.generate_private_key(65_537, 2_048))
        return _rsa_keys[-1]
    _rsa_keys.append(_rsa_keys.pop(0))
    return _rsa_keys[-1]


def pem_key(key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def write(path, content: bytes, mode=0o600) -> str:
    """Replace a file atomically, as a renewal does."""
    with open(path + ".new", "wb") as file:
        file.write(content)
    os.chmod(path + ".new", mode)
    os.replace(path + ".new", path)
    return path


def alternative(name):
    if isinstance(name, x509.GeneralName):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Issued:
    """A certificate and its key as files."""

    def __init__(self, cert, key, certificate, cert_bytes, key_bytes):
        self.cert, self.key, self.certificate = cert, key, certificate
        self.cert_bytes, self.key_bytes = cert_bytes, key_bytes

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def pair(self) -> dict:
        """As it stands in `certificates`."""
        return {"cert": self.cert, "key": self.key}


class CA:
    """A root, or with an issuer an intermediate."""

    def __init__(self, folder, name="Test Root", issuer=None):
        self.folder, self.name, self.issuer = str(folder), name, issuer
        self.key = new_key()
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        self.certificate = (
            x509.CertificateBuilder().subject_name(self.subject)
            .issuer_name(issuer.subject if issuer else self.subject)
            .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY).not_valid_after(now + 30 * DAY)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
            .sign(issuer.key if issuer else self.key, hashes.SHA256()))
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.path = write(os.path.join(self.folder, name.replace(" ", "-") + ".pem"), self.pem, 0o644)

    def issue(self, *names, kind="ecdsa", name=None, common=None, start=-10, end=20, client=False, key=None,
              responder=None, usage=None, unit=None) -> Issued:
        """A certificate for these names, valid from `start` to `end` days from now, as NAME.pem and NAME.key.

        `responder` is the URL of its OCSP responder.
        """
        names = names or ("a.example",)
        name = name or names[0].replace("*", "_") + "-" + kind
        key = key or new_key(kind)
        now = datetime.datetime.utcnow()
        usage = usage or (ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Weir Tests"),
                *([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []),
                x509.NameAttribute(NameOID.COMMON_NAME, common or names[0])]))
            .issuer_name(self.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now + start * DAY).not_valid_after(now + end * DAY)
            .add_extension(x509.SubjectAlternativeName([alternative(n) for n in names]), False)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.KeyUsage(True, False, kind == "rsa", False, False, False, False, False, False), True)
            .add_extension(x509.ExtendedKeyUsage([usage]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False))
        if responder:
            builder = builder.add_extension(x509.AuthorityInformationAccess([x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder))]), False)
        certificate = builder.sign(self.key, hashes.SHA256())
        cert_bytes = certificate.public_bytes(serialization.Encoding.PEM)
        above = self
        while above.issuer:
            cert_bytes += above.pem
            above = above.issuer
        base = os.path.join(self.folder, name)
        return Issued(write(base + ".pem", cert_bytes, 0o644), write(base + ".key", pem_key(key)),
                      certificate, cert_bytes, pem_key(key))

    def context(self, alpn=("h2", "http/1.1"), client: Issued = None, low=None, high=None, verify=True):
        """A client's context that trusts this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if verify:
            root = self
            while root.issuer:
                root = root.issuer
            context.load_verify_locations(root.path)
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client:
            context.load_cert_chain(client.cert, client.key)
        if low:
            context.minimum_version = low
        if high:
            context.maximum_version = high
        return context


def server_context(issued: Issued, ca: CA = None, alpn=("http/1.1",)):
    """A backend's context; with `ca` it asks for client certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert, issued.key)
    context.set_alpn_protocols(list(alpn))
    if ca:
        context.load_verify_locations(ca.path)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
