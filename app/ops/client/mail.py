"""Mail over SMTP, in a thread of its own, to an address that was checked first."""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Final

from app.core import outbound
from app.core.errors import Upstream
from app.core.guard import Rules, is_public, lookup
from app.ops.client.address import Address
from app.ops.client.message import Message
from db import clock

USER_PORTS: Final = frozenset({25, 465, 587, 2525})
SILENCE_S: Final = 10.0
TOTAL_S: Final = 40.0

_THREADS: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mail")


async def send(address: Address, message: Message, *, allow: Iterable[str], free: bool) -> None:
    """Hand one mail to the server. Raises Upstream in our own words, never in the server's."""
    allow = tuple(allow)
    rules = Rules("notify", allow, None)
    if not free and address.port not in USER_PORTS and address.place not in allow:
        raise rules.refusal(address.host, f"port {address.port} may not be called")
    try:
        async with asyncio.timeout(SILENCE_S):
            found = await lookup(address.host, address.port)
    except (OSError, UnicodeError) as error:  # a TimeoutError is an OSError
        raise _fault("cannot be reached", "unreachable") from error
    rules.check(address.host, address.port, found)
    visit = _Visit(address, found[0])
    try:
        async with asyncio.timeout(TOTAL_S):
            await asyncio.get_running_loop().run_in_executor(
                _THREADS, visit.hand_over, _letter(address, message)
            )
    except TimeoutError as error:
        raise _fault("no answer in time", "timeout") from error
    finally:
        visit.end()  # a server that drips must not hold the thread longer


class _Client(smtplib.SMTP):
    """smtplib's client on a connection that we opened: it looks no name up itself."""

    def __init__(self, opened: socket.socket, host: str, port: int) -> None:
        self._opened = opened
        super().__init__(host, port, local_hostname="localhost", timeout=SILENCE_S)

    def _get_socket(self, *_: Any) -> socket.socket:
        return self._opened


class _Visit:
    """One conversation with a mail server; `end` may be called from another thread."""

    def __init__(self, address: Address, ip: str) -> None:
        self._address = address
        self._ip = ip
        self._socket: socket.socket | None = None

    def hand_over(self, letter: EmailMessage) -> None:
        try:
            self._talk(letter)
        except smtplib.SMTPAuthenticationError as error:
            raise _fault("refused the login", "login", retry=False) from error
        except smtplib.SMTPRecipientsRefused as error:
            retry = all(400 <= code < 500 for code, _ in error.recipients.values())
            raise _fault("refused the address", "recipient", retry=retry) from error
        except smtplib.SMTPResponseException as error:
            retry = not 500 <= error.smtp_code < 600
            raise _fault("refused the mail", "refused", retry=retry) from error
        except smtplib.SMTPException as error:
            raise _fault("does not speak as expected", "protocol") from error
        except ssl.SSLCertVerificationError as error:
            raise _fault("its certificate cannot be trusted", "tls", retry=False) from error
        except TimeoutError as error:
            raise _fault("no answer in time", "timeout") from error
        except OSError as error:
            raise _fault("cannot be reached", "unreachable") from error

    def end(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _talk(self, letter: EmailMessage) -> None:
        to = self._address
        opened = socket.create_connection((self._ip, to.port), SILENCE_S)
        self._socket = opened
        try:
            if to.scheme == "mailtos":
                opened = outbound.tls().wrap_socket(opened, server_hostname=to.host)
                self._socket = opened
            with _Client(opened, to.host, to.port) as client:
                client.ehlo()
                if to.scheme == "mailto":
                    self._cover(client)
                if to.login:
                    client.login(to.login, to.password)
                client.send_message(letter)
        finally:
            opened.close()

    def _cover(self, client: smtplib.SMTP) -> None:
        """STARTTLS; in the open only to a server of one's own network that offers none."""
        if client.has_extn("starttls"):
            client.starttls(context=outbound.tls())
            client.ehlo()
        elif is_public(self._ip):
            raise _fault("offers no encryption", "open", retry=False)


def _letter(address: Address, message: Message) -> EmailMessage:
    letter = EmailMessage()
    letter["From"] = address.sender
    letter["To"] = address.to
    letter["Subject"] = " ".join(message.title.split())
    letter["Date"] = format_datetime(clock.now())
    letter["Message-ID"] = f"<{message.id}@holdfast>"  # the same each time: mail programs fold it
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(f"{message.text}\n\n{message.url}".strip() + "\n")
    return letter


def _fault(words: str, code: str, *, retry: bool = True) -> Upstream:
    return Upstream(f"mail: {words}", retry=retry, code=code)
