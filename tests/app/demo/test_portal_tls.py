"""The stand-in portal behind TLS: what a client does when it is led back to plain http."""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.demo.portal.serve import Portal, running_portal
from tests.app.demo import steps

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of its own making for the two names of the portal."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portal")])
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    start = datetime.fromtimestamp(0, UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * 200))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    chain, secret = folder / "portal.pem", folder / "portal.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, secret


@pytest.fixture
async def secure(certificate: tuple[Path, Path]) -> AsyncIterator[Portal]:
    async with running_portal(certificate=certificate) as portal:
        yield portal


@pytest.fixture
async def trusting(
    certificate: tuple[Path, Path], secure: Portal
) -> AsyncIterator[httpx.AsyncClient]:
    """Closed before the portal is, or the portal waits for its open connection."""
    assert secure.sp_url.startswith("https://")
    context = ssl.create_default_context(cafile=str(certificate[0]))
    async with httpx.AsyncClient(verify=context, follow_redirects=True) as client:
        yield client


async def test_the_whole_way_goes_over_tls(trusting: httpx.AsyncClient, secure: Portal) -> None:
    page = await steps.walk(trusting, secure)
    assert "NVV-Semesterticket" in steps.text(page)
    assert {step.url.scheme for step in (*page.history, page)} == {"https"}


async def test_a_downgrade_names_the_same_host(trusting: httpx.AsyncClient, secure: Portal) -> None:
    secure.scenario("http_downgrade")
    answer = await trusting.get(secure.sp_url, follow_redirects=False)
    assert answer.headers["location"].startswith(f"http://{secure.idp_host}/")
