"""A public file over HTTPS: fetched as a stream, and not again while its validators (ETag, Last-Modified) hold.

No token of ours is ever sent from here, redirects are followed to HTTPS only, and certificates are checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from runtime.errors import ConnectionLostError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

TIMEOUT_S = 60.0
_CHUNK = 1 << 20
_MANY_REDIRECTS = 10


class Page(NamedTuple):
    """An open answer: what tells its content from another one, its size where it says so, and the content."""

    validator: str
    """Hash over address, ETag, Last-Modified and length; empty when the server gives none of the first two."""
    size: int | None
    chunks: Iterator[bytes]


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    max_redirections = _MANY_REDIRECTS

    def redirect_request(  # noqa: PLR0913, PLR0917 - the signature of the class above
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            fp.close()
            raise RefusedError(f"{shown(req.full_url)} leads to {shown(newurl)}, which is not HTTPS", code="redirect")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def opened(url: str) -> Iterator[Page]:
    """GET a file. Raises `RefusedError` with the server's status, `ConnectionLostError`, also while it is read."""
    if urlsplit(url).scheme != "https":
        raise RefusedError(f"{shown(url)} is not HTTPS", code="scheme")
    opener = urllib.request.build_opener(_HttpsOnly, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    try:
        with opener.open(urllib.request.Request(url, headers={"User-Agent": "trainyard"}), timeout=TIMEOUT_S) as got:  # noqa: S310 - HTTPS, checked above
            yield _page(url, got)
    except urllib.error.HTTPError as error:
        error.close()
        raise RefusedError(f"{shown(url)}: {error.reason}", code=f"HTTP {error.code}", status=error.code) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise RefusedError(f"{shown(url)}: {error.reason.verify_message}", code="certificate") from None
        raise ConnectionLostError(f"{shown(url)}: {getattr(error.reason, 'strerror', None) or error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionLostError(f"{shown(url)}: {getattr(error, 'strerror', None) or error}") from None


def _page(url: str, got: http.client.HTTPResponse) -> Page:
    kept = [got.headers.get(name, "") for name in ("ETag", "Last-Modified")]
    length = got.headers.get("Content-Length", "")
    validator = hashlib.sha256("\n".join([url, *kept, length]).encode()).hexdigest() if any(kept) else ""
    return Page(validator, int(length) if length.isdigit() else None, _read(url, got))


def _read(url: str, got: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := got.read(_CHUNK):
        yield chunk
    if got.length:  # what the server promised and did not send; http.client alone does not mind (bpo-44022)
        raise ConnectionLostError(f"{shown(url)}: the connection ended {got.length} bytes early")


def shown(url: str) -> str:
    """Return an address for messages: without a signature, which is a secret."""
    return url.partition("?")[0]
