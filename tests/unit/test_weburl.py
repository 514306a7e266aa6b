"""URLs: one normal form, and a refusal that says what to do."""

import re
import string

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domains.weburl import MAX_URL_CHARS, literal_family, normalise_url

HINT = "write it as https://"
LONG_NAME = ".".join(["a" * 63] * 3 + ["a" * 61])


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTPS://EXAMPLE.org/Path", "https://example.org/Path"),
        ("http://example.org:80/", "http://example.org/"),
        ("https://example.org:0443/", "https://example.org/"),
        ("https://example.org:80/", "https://example.org:80/"),
        ("http://example.org:65535/", "http://example.org:65535/"),
        ("http://example.org:/", "http://example.org/"),
        ("http://example.org?q=1", "http://example.org/?q=1"),
        ("http://example.org/?", "http://example.org/"),
        ("http://example.org/a?b=c#part", "http://example.org/a?b=c"),
        ("http://example.org/a;b=1?c;d", "http://example.org/a;b=1?c;d"),
        ("http://example.org//a//b/", "http://example.org//a//b/"),
        ("http://example.org/@me:pass", "http://example.org/@me:pass"),
        ("http://example.org/?a=@b", "http://example.org/?a=@b"),
        ("http://example.org/%C3%A9%2f", "http://example.org/%C3%A9%2f"),
        ("http://example.org/é?ü=ß", "http://example.org/%C3%A9?%C3%BC=%C3%9F"),
        ("http://example.org/100%?50%zz", "http://example.org/100%25?50%25zz"),
        ("http://example.org/[a]{b}", "http://example.org/%5Ba%5D%7Bb%7D"),
        ('http://example.org/?a="<b>"', "http://example.org/?a=%22%3Cb%3E%22"),
        ("http://example.org./", "http://example.org./"),
        ("http://a_b.example.org/", "http://a_b.example.org/"),
        ("http://localhost:8000/", "http://localhost:8000/"),
        ("http://1a.2b/", "http://1a.2b/"),
        (f"http://{LONG_NAME}/", f"http://{LONG_NAME}/"),
        ("https://münchen.example/", "https://xn--mnchen-3ya.example/"),
        ("https://MÜNCHEN.example/", "https://xn--mnchen-3ya.example/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example/"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        ("http://127.0.0.1./", "http://127.0.0.1/"),
        ("http://\uff11\uff12\uff17.0.0.1/", "http://127.0.0.1/"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("http://[2001:DB8:0:0::1]/", "http://[2001:db8::1]/"),
    ],
)
def test_a_url_gets_its_normal_form(text: str, url: str) -> None:
    assert normalise_url(text) == url


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("", HINT),
        ("example.org", HINT),
        ("//example.org/", HINT),
        ("ftp://example.org/", "its scheme must be http or https"),
        ("javascript:alert(1)", "its scheme must be http or https"),
        ("http:", "it has no host"),
        ("http:///path", "it has no host"),
        ("http://:80/", "it has no host"),
        ("http://?q", "it has no host"),
        ("http://user:secret@example.org/", "remove everything up to the @"),
        ("http://user@example.org/", "remove everything up to the @"),
        ("http://@example.org/", "remove everything up to the @"),
        ("http://example.org:0/", "give a port from 1 to 65535"),
        ("http://example.org:65536/", HINT),
        ("http://example.org:http/", HINT),
        ("http://example.org:8\u0660/", HINT),
        ("http://example.org:-1/", HINT),
        ("http://exa mple.org/", "percent-encode it (a space is %20)"),
        (" http://example.org/", "percent-encode it"),
        ("http://example.org/\n", "percent-encode it"),
        ("http://exam\tple.org/", "percent-encode it"),
        ("http://example.org/\x00", "percent-encode it"),
        ("http://example.org/\x7f", "percent-encode it"),
        ("http://example.org/\x85", "percent-encode it"),
        ("http://example.org\\@evil.example/", "percent-encode it"),
        ("http://example.org/\u2028", "percent-encode it"),
        ("http://example.org/\ud800", "percent-encode it"),
        ("http://a..b/", "labels of 1 to 63 letters"),
        ("http://./", "labels of 1 to 63 letters"),
        ("http://-a.example/", "labels of 1 to 63 letters"),
        ("http://a-.example/", "labels of 1 to 63 letters"),
        ("http://%61.example/", "labels of 1 to 63 letters"),
        ("http://a,b/", "labels of 1 to 63 letters"),
        (f"http://{'a' * 64}.example/", "labels of 1 to 63 letters"),
        (f"http://{LONG_NAME}a/", "labels of 1 to 63 letters"),
        ("http://☕.example/", "begins with xn--"),
        ("http://\u00ad.example/", "begins with xn--"),
        ("http://127.1/", "write four decimal numbers"),
        ("http://0x7f.0.0.1/", "write four decimal numbers"),
        ("http://2130706433/", "write four decimal numbers"),
        ("http://0177.0.0.1/", "write four decimal numbers"),
        ("http://256.0.0.1/", "write four decimal numbers"),
        ("http://1.2.3.4.5/", "write four decimal numbers"),
        ("http://example.0x/", "write four decimal numbers"),
        ("http://[::1/", HINT),
        ("http://::1/", HINT),
        ("http://[::g]/", HINT),
        ("http://[1.2.3.4]/", HINT),
        ("http://[example.org]/", HINT),
        ("http://[v1.address]/", HINT),
        ("http://[::1]example.org/", HINT),
        ("http://[fe80::1%25eth0]/", "has a zone"),
        ("http://[fe80::1%eth0]/", "has a zone"),
        ("http://example.org/" + "a" * MAX_URL_CHARS, "shorten it"),
        ("http://example.org/" + "é" * 500, "encoded, it is longer than 2048 characters"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_the_cure(text: str, cure: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cure)) as refusal:
        normalise_url(text)

    assert "secret" not in str(refusal.value)


def test_the_longest_url_passes() -> None:
    url = "http://example.org/" + "a" * (MAX_URL_CHARS - 19)

    assert normalise_url(url) == url


URLS = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP", "ftp", ""]),
    st.text(string.ascii_letters + string.digits + ".-_:[]@%ßé１。\\/", max_size=30),
    st.sampled_from(["", ":", ":0", ":80", ":443", ":8080", ":99999"]),
    st.text(max_size=30).map(lambda rest: "/" + rest),
)


@given(st.one_of(st.text(max_size=60), URLS, st.text(max_size=40).map("http://{}".format)))
@example("http://a.b/%zz?%")
@example("http://[::ffff:1.2.3.4]")
@example("http://xn--a/")
@example("http://\u0378.example/")
def test_any_text_is_refused_or_has_one_normal_form(text: str) -> None:
    try:
        url = normalise_url(text)
    except UnicodeError:
        raise
    except ValueError:
        return
    assert normalise_url(url) == url
    assert url.isascii()
    assert url.isprintable()
    # What is stored is what will be requested, but for dots in the path.
    if "/." not in url:
        assert str(httpx.URL(url)) == url


@pytest.mark.parametrize(
    ("url", "family"),
    [
        ("http://192.0.2.1:8080/", "ipv4"),
        ("https://[2001:db8::1]/", "ipv6"),
        ("https://[::ffff:192.0.2.1]/", "ipv6"),
        ("https://example.org/", None),
        ("https://1.example.org/192.0.2.1", None),
        ("https://example.org./", None),
    ],
)
def test_the_family_of_a_literal_address(url: str, family: str | None) -> None:
    assert literal_family(normalise_url(url)) == family
