"""The two SAML messages: XML, deflated and signed enough that a forged one is refused."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

ENTITY = "https://ticket.example/shibboleth"
ACS_PATH = "/Shibboleth.sso/SAML2/POST"


class BadMessage(ValueError):
    """Not a message of ours, or one that was changed on the way."""


@dataclass(frozen=True)
class AuthnRequest:
    """What the portal asks the sign-in service."""

    id: str
    acs_url: str
    issuer: str = ENTITY

    def xml(self) -> bytes:
        """The message as XML."""
        return (
            '<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
            f' AssertionConsumerServiceURL="{self.acs_url}" ID="{self.id}" Version="2.0">'
            '<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">'
            f"{self.issuer}</saml:Issuer></samlp:AuthnRequest>"
        ).encode()

    def deflated(self) -> str:
        """For the redirect binding: base64 of raw deflate."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return base64.b64encode(packer.compress(self.xml()) + packer.flush()).decode()

    def encoded(self) -> str:
        """For the POST binding: base64 alone."""
        return base64.b64encode(self.xml()).decode()


def read_request(text: str, *, deflated: bool) -> AuthnRequest:
    """The AuthnRequest in a SAMLRequest field; raises BadMessage."""
    try:
        data = base64.b64decode(text, validate=True)
        xml = (zlib.decompress(data, -15) if deflated else data).decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError) as error:
        raise BadMessage("unreadable SAMLRequest") from error
    found = [
        re.search(r' ID="([^"]+)"', xml),
        re.search(r'AssertionConsumerServiceURL="([^"]+)"', xml),
        re.search(r"<saml:Issuer[^>]*>([^<]+)<", xml),
    ]
    values = [match[1] for match in found if match]
    if len(values) != len(found):
        raise BadMessage("incomplete SAMLRequest")
    return AuthnRequest(*values)


def response(key: bytes, request_id: str, visit_id: str) -> str:
    """A signed SAMLResponse for this request, over 4 KiB long as the encrypted originals are."""
    cipher = base64.b64encode(secrets.token_bytes(3600)).decode()
    xml = (
        '<saml2p:Response xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol"'
        f' ID="_{secrets.token_hex(16)}" InResponseTo="{request_id}" Version="2.0">'
        '<saml2:EncryptedAssertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"'
        f' Visit="{visit_id}">'
        f"{cipher}</saml2:EncryptedAssertion></saml2p:Response>"
    )
    return base64.b64encode(f"{xml}<!--{_sign(key, xml)}-->".encode()).decode()


def read_response(key: bytes, text: str) -> tuple[str, str]:
    """(request id, visit id) of a SAMLResponse that we signed; raises BadMessage."""
    try:
        whole = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadMessage("unreadable SAMLResponse") from error
    xml, _, tail = whole.rpartition("<!--")
    if not hmac.compare_digest(_sign(key, xml).encode(), tail.removesuffix("-->").encode()):
        raise BadMessage("bad signature")
    request_id = re.search(r'InResponseTo="([^"]+)"', xml)
    visit_id = re.search(r' Visit="([^"]+)"', xml)
    if request_id is None or visit_id is None:
        raise BadMessage("incomplete SAMLResponse")
    return request_id[1], visit_id[1]


def _sign(key: bytes, xml: str) -> str:
    return hmac.new(key, xml.encode(), hashlib.sha256).hexdigest()
