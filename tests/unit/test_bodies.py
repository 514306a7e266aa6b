"""A body is unpacked as it comes, in any pieces, and never beyond its limit."""

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.probes.bodies import Kept, TooLarge

TEXT = b"some text, and some text again" * 10


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "one member": ("gzip", gzip.compress(TEXT)),
    "two members": ("x-gzip", gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:])),
    "padding": ("GZIP", gzip.compress(TEXT) + b"\0\0\0"),
    "zlib": ("deflate", zlib.compress(TEXT)),
    "bare": ("deflate", deflated(TEXT)),
    "nothing": ("identity", TEXT),
}


@settings(deadline=None)
@given(st.sampled_from(sorted(PACKED)), st.lists(st.integers(1, 40), max_size=60))
def test_the_pieces_make_no_difference(name: str, sizes: list[int]) -> None:
    coding, data = PACKED[name]
    kept = Kept(coding, 10_000)
    for size in sizes:
        kept.take(data[:size])
        data = data[size:]
    kept.take(data)

    assert (kept.end(), kept.problem) == (TEXT, None)


@pytest.mark.parametrize("name", sorted(PACKED))
def test_a_byte_at_a_time_is_a_body_too(name: str) -> None:
    coding, data = PACKED[name]
    kept = Kept(coding, 10_000)
    for place in range(len(data)):
        kept.take(data[place : place + 1])

    assert (kept.end(), kept.problem) == (TEXT, None)


@pytest.mark.parametrize("name", sorted(PACKED))
def test_more_than_the_limit_is_too_large(name: str) -> None:
    coding, data = PACKED[name]
    with pytest.raises(TooLarge):
        Kept(coding, len(TEXT) - 1).take(data)


@pytest.mark.parametrize(
    ("coding", "data", "words"),
    [
        # Named, because what gzip makes has the time in it.
        pytest.param("br", b"x", "Accept-Encoding", id="another coding"),
        pytest.param("gzip", b"no gzip at all", "unpacked", id="no gzip"),
        pytest.param("gzip", gzip.compress(TEXT)[:-4], "breaks off", id="cut short"),
        pytest.param("gzip", gzip.compress(b"") * 200, "members", id="many members"),
    ],
)
def test_what_cannot_be_unpacked_says_why(coding: str, data: bytes, words: str) -> None:
    kept = Kept(coding, 10_000)
    kept.take(data)

    assert kept.end() is None
    assert kept.problem is not None
    assert words in kept.problem
