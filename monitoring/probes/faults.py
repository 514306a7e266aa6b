"""What our own parts of a probe raise; ``monitoring.probes.reasons`` has a row for each."""


class HungUp(Exception):  # noqa: N818 - a failing target, turned into an Outcome
    """The peer ended the connection before the answer was complete."""


class NotHTTP(Exception):  # noqa: N818 - a failing target, turned into an Outcome
    """What the peer sent is not HTTP, or more head than is read. The words are ours."""


class NoTrustStore(Exception):  # noqa: N818 - a fault of this worker, turned into an Outcome
    """Certificates are to be verified, and this worker trusts none at all."""


class Disbelieved(Exception):  # noqa: N818 - a failing target, turned into an Outcome
    """The certificate that a server showed does not hold, or is not the host's.

    Args:
        code: the first fault found: X509_V_ERR_* of OpenSSL's <openssl/x509_vfy.h>.
        words: OpenSSL's for it.
    """

    def __init__(self, code: int, words: str) -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words
