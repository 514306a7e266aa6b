"""From a library's error to a reason: the only place that does, most specific first."""

import errno
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

import structlog
from OpenSSL import SSL

from monitoring.probes import vantage
from monitoring.probes.certificates import problem_of
from monitoring.probes.faults import Disbelieved, HungUp, NotHTTP, NoTrustStore
from monitoring.probes.guard import ForbiddenAddress
from monitoring.probes.outcome import Certificate, Failure
from monitoring.probes.resolving import Cause, Unresolved
from monitoring.probes.states import Reason, State
from monitoring.probes.trace import Trace
from monitoring.probes.trust import openssl_words

log = structlog.get_logger(__name__)

# X509_V_ERR_* of OpenSSL's <openssl/x509_vfy.h>.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_WRONG_NAME: Final = frozenset({62, 64})

_SAYS_NOTHING: Final = "record layer failure"
"""What OpenSSL adds to the cause, when a record cannot be read."""

_NO_TLS: Final = "wrong version number"
"""What OpenSSL says of bytes that are in no record of TLS at all."""

_OURS: Final = MappingProxyType(
    {"expected http/, rtsp/ or ice/": "it begins with something else than HTTP/"}
)
"""llhttp's words that say little to who does not know it."""

_TIMEOUTS: Final = MappingProxyType(
    {
        "dns": (Reason.DNS_TIMEOUT, "no answer from DNS for {host}"),
        "connect": (Reason.CONNECT_TIMEOUT, "no connection to {peer}"),
        "tls": (Reason.TLS_TIMEOUT, "no answer to the TLS hello from {peer}"),
        "wait": (Reason.TIMEOUT, "connected to {peer}, but no answer"),
        "download": (Reason.TIMEOUT, "the answer from {peer} was not complete"),
    }
)
_RESOURCE_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
# What the kernel answers before a packet leaves: no route, no address or protocol of that
# family, a local firewall's refusal.
_NETWORK_ERRORS: Final = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EPERM,
        errno.EACCES,
    }
)
# A resolver on this machine answers without a network too, but then with a failure.
_MAYBE_OURS: Final = frozenset({Cause.SERVER_FAILURE, Cause.TIMED_OUT, Cause.UNREACHABLE})
_RESET_ERRORS: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a check stood when it ended early.

    Attributes:
        trace: of the hop under way.
        seconds: the whole time that the check was given.
        now: the wall clock in UTC, to tell how long ago a certificate ended.
    """

    trace: Trace
    seconds: float
    now: datetime


def reason_of(error: Exception, scene: Scene, *, expired: bool) -> Failure:
    """Return the ending that an error stands for.

    Args:
        error: what was raised.
        scene: where the check stood.
        expired: whether the check's own deadline had struck: what libraries make of the
            cancellation is then of no interest, nor is any other time-out mistaken for it.
    """
    if expired:
        return _out_of_time(scene, f" within {scene.seconds:.1f} s")
    failure = _mapped(error, scene)
    if failure is not None:
        return failure
    log.error("unmapped probe error", url=scene.trace.plain, error=repr(error), exc_info=error)
    return Failure(
        State.INTERNAL, Reason.PROBE_ERROR, f"an error inside Sentinel: {type(error).__name__}"
    )


def most_telling(errors: list[OSError]) -> int:
    """Return which of several addresses' errors says why a name was not reached.

    What this worker lacks may have kept it from an address that answers, so it comes
    first. An address of a family that it cannot reach comes last: having no IPv6 says
    nothing about a host that refuses over IPv4. Of equals the latest counts.
    """
    return max(range(len(errors)), key=lambda index: (_weight(errors[index]), index))


def _weight(error: OSError) -> int:
    if error.errno in _RESOURCE_ERRORS:
        return 2
    return 0 if error.errno in _NETWORK_ERRORS else 1


def too_busy(words: str) -> Failure:
    """Return the ending of a check that this worker had no time for."""
    return Failure(State.INTERNAL, Reason.RESOURCE_LIMIT, f"the worker was too busy{words}")


def _out_of_time(scene: Scene, limit: str) -> Failure:
    trace = scene.trace
    if trace.watch.current is None:
        return too_busy(f" to do its part{limit}")
    reason, words = _TIMEOUTS[trace.watch.current]
    if reason is Reason.TLS_TIMEOUT and trace.greeted:
        words = "the TLS handshake with {peer} was not complete"
    return Failure(State.DOWN, reason, words.format(host=trace.host, peer=trace.peer) + limit)


def _mapped(error: BaseException, scene: Scene) -> Failure | None:  # noqa: PLR0911 - a table
    match error:
        case ForbiddenAddress():
            return Failure(State.INTERNAL, Reason.FORBIDDEN_ADDRESS, str(error))
        case Unresolved():
            return _unresolved(error, scene)
        case NoTrustStore():
            return Failure(State.INTERNAL, Reason.PROBE_ERROR, str(error))
        case MemoryError():
            return _out_of_resources("memory")
        case OSError(errno=code) if code in _RESOURCE_ERRORS:
            return _out_of_resources(str(error.strerror).lower())
    if scene.trace.watch.current not in (None, "dns"):
        return _unanswered(error, scene)
    return None


def _out_of_resources(words: str) -> Failure:
    return Failure(
        State.INTERNAL, Reason.RESOURCE_LIMIT, f"the worker is out of resources: {words}"
    )


def _unresolved(error: Unresolved, scene: Scene) -> Failure:
    host = scene.trace.host
    if error.cause is Cause.RESOURCES:
        return _out_of_resources(str(error))
    if error.cause in _MAYBE_OURS and not vantage.has_route():
        words = f"this worker has no network to look {host} up"
        return Failure(State.INTERNAL, Reason.NO_NETWORK, words)
    reason = Reason.DNS_TIMEOUT if error.cause is Cause.TIMED_OUT else Reason.DNS_ERROR
    return Failure(State.DOWN, reason, f"no address for {host}: {error}")


def _unanswered(error: BaseException, scene: Scene) -> Failure | None:  # noqa: PLR0911 - a table
    peer = scene.trace.peer
    match error:
        case Disbelieved():
            return _certificate(error, scene)
        case SSL.SysCallError():
            return _hung_up(scene, "hung up")
        case SSL.Error():
            words = _last_words(error) or scene.trace.alert or "broken"
            if words == _NO_TLS and not scene.trace.alert:
                words = f"what it answers is no TLS ({words}); is it https?"
            return Failure(State.DOWN, Reason.TLS_ERROR, f"TLS with {peer} failed: {words}")
        case TimeoutError():  # the kernel's own, or one address's share of the time
            return _out_of_time(scene, ": timed out")
        case ConnectionRefusedError():
            return Failure(State.DOWN, Reason.CONNECT_REFUSED, f"connection refused by {peer}")
        case OSError(errno=code) if code in _NETWORK_ERRORS:
            words = str(error.strerror).lower()
            return Failure(
                State.INTERNAL, Reason.NO_NETWORK, f"this worker has no way to {peer}: {words}"
            )
        case OSError(errno=code) if code in _RESET_ERRORS:
            # A refusal has an errno of its own: who resets had accepted, even if the news
            # of both arrive together.
            return _hung_up(scene, "reset the connection", at_connect=Reason.CLOSED)
        case OSError(errno=code) if code is not None:
            words = str(error.strerror).lower()
            if scene.trace.watch.current == "connect":
                words = f"no connection to {peer}: {words}"
                return Failure(State.DOWN, Reason.CONNECT_ERROR, words)
            return _hung_up(scene, f"was lost ({words})")
        case HungUp() | ConnectionError():  # without an errno: the peer is gone
            return _hung_up(scene, str(error) or "hung up")
        case NotHTTP():
            words = f"the answer from {peer} is not HTTP: {_OURS.get(str(error), error)}"
            return Failure(State.DOWN, Reason.PROTOCOL_ERROR, words)
    return None


def _hung_up(scene: Scene, words: str, *, at_connect: Reason = Reason.CONNECT_ERROR) -> Failure:
    reason, when = {
        "connect": (at_connect, "when it was connected to"),
        "tls": (Reason.TLS_ERROR, "during the TLS handshake"),
    }.get(scene.trace.watch.current or "", (Reason.CLOSED, "before a complete answer"))
    return Failure(State.DOWN, reason, f"{scene.trace.peer} {words} {when}")


def _certificate(error: Disbelieved, scene: Scene) -> Failure:
    # A trust store in a folder is read when it is needed, and then cannot be opened.
    if vantage.out_of_descriptors():
        return _out_of_resources("too many open files")
    shown_one = scene.trace.certificate
    if error.code == _EXPIRED:
        return Failure(State.DOWN, Reason.TLS_EXPIRED, _expired(shown_one, scene))
    if error.code == _NOT_YET_VALID:
        return Failure(State.DOWN, Reason.TLS_EXPIRED, _not_yet_valid(shown_one, scene))
    if error.code in _WRONG_NAME:
        words = f"the certificate of {scene.trace.peer} is not for {scene.trace.host}"
        if shown_one is not None and shown_one.subject:
            words += f" but for {shown_one.subject}"
        return Failure(State.DOWN, Reason.TLS_HOSTNAME, words)
    words = f"certificate of {scene.trace.host}: {problem_of(error)}"
    if shown_one is not None and shown_one.issuer:
        words += f"; it was issued by {shown_one.issuer}"
    return Failure(State.DOWN, Reason.TLS_UNTRUSTED, words)


def _last_words(error: SSL.Error) -> str:
    """Return the last that OpenSSL says of an error and that says something, if anything does."""
    said = [words for words in openssl_words(error) if words and words != _SAYS_NOTHING]
    return said[-1].lower() if said else ""


def _expired(certificate: Certificate | None, scene: Scene) -> str:
    if certificate is None or certificate.not_after > scene.now:
        # Not this one, then, but one above it in the chain.
        return f"a certificate of {scene.trace.host} or of its chain has expired"
    days = _days((scene.now - certificate.not_after).days)
    return f"certificate expired {certificate.not_after:%Y-%m-%d}, {days} ago"


def _not_yet_valid(certificate: Certificate | None, scene: Scene) -> str:
    if certificate is None or certificate.not_before <= scene.now:
        return f"a certificate of {scene.trace.host} or of its chain is not yet valid"
    days = _days((certificate.not_before - scene.now).days)
    return f"certificate not yet valid: it begins {certificate.not_before:%Y-%m-%d}, in {days}"


def _days(days: int) -> str:
    return "less than a day" if days < 1 else "1 day" if days == 1 else f"{days} days"
