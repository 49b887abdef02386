"""From where images may be fetched, and from where not, however it is written."""

import pytest

from baton.images.errors import ImageError
from gateway.images.media_hosts import MediaHosts, is_public

HOSTS = MediaHosts(["images.example.org", "cdn.example.org:8443", "10.0.0.7:9000", "[::1]:81"])


@pytest.mark.parametrize(
    ("url", "authority", "at"),
    [
        (
            "https://images.example.org/a.png?b=c#d",
            "images.example.org",
            "https://1.2.3.4:443/a.png?b=c",
        ),
        ("http://IMAGES.example.org./", "images.example.org", "http://1.2.3.4:80/"),
        ("https://cdn.example.org:8443", "cdn.example.org:8443", "https://1.2.3.4:8443/"),
        ("http://10.0.0.7:9000/x", "10.0.0.7:9000", "http://1.2.3.4:9000/x"),
        ("http://[::1]:81/x", "[::1]:81", "http://1.2.3.4:81/x"),
    ],
)
def test_an_allowed_host_is_asked_at_its_address_by_its_name(
    url: str, authority: str, at: str
) -> None:
    target = HOSTS.target(url)

    assert (target.authority, target.at("1.2.3.4")) == (authority, at)


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example.org/",
        "http://sub.images.example.org/",
        "http://images.example.org.evil.org/",
        "http://images.example.org:22/",
        "https://cdn.example.org/",
        "http://10.0.0.7/",
        "http://169.254.169.254/latest/meta-data",
        "http://evil.org/images.example.org",
        "http://evil.org#@images.example.org/",
    ],
)
def test_another_host_or_port_is_not(url: str) -> None:
    with pytest.raises(ImageError, match="--allowed-media-domains"):
        HOSTS.target(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://images.example.org/",
        "file:///etc/passwd",
        "/etc/passwd",
        "images.example.org/a",
        "http:///a",
        "http://user:secret@images.example.org/",
        "http://evil.org\\@images.example.org/",
        "http://images.example.org:99999/",
        "http://[images.example.org/",
    ],
)
def test_what_is_no_plain_http_url_is_refused(url: str) -> None:
    with pytest.raises(ImageError, match="URL"):
        HOSTS.target(url)


def test_without_a_list_nothing_is_fetched() -> None:
    with pytest.raises(ImageError, match="send the image as a data: URL"):
        MediaHosts([]).target("https://images.example.org/")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "fe80::1%eth0", "fc00::1", "::"),
        *("::ffff:10.0.0.1", "2002:7f00:1::", "ff0e::1"),
    ],
)
def test_a_name_never_leads_inside(address: str) -> None:
    target = HOSTS.target("http://images.example.org/")

    assert not is_public(address)
    with pytest.raises(ImageError, match="not public"):
        HOSTS.address(target, ["93.184.215.14", address])


def test_a_private_address_is_reached_by_whoever_wrote_it_into_the_list() -> None:
    assert HOSTS.address(HOSTS.target("http://10.0.0.7:9000/"), ["10.0.0.7"]) == "10.0.0.7"


def test_a_public_address_is_taken() -> None:
    target = HOSTS.target("http://images.example.org/")

    assert HOSTS.address(target, ["93.184.215.14", "2606:2800::1"]) == "93.184.215.14"
    with pytest.raises(ImageError, match="no address"):
        HOSTS.address(target, [])


@pytest.mark.parametrize("entry", ["", "http://a.org", "a.org/x", "a.org:port", "me@a.org"])
def test_an_entry_is_a_host_with_or_without_a_port(entry: str) -> None:
    with pytest.raises(ValueError, match=r"neither a host|[Pp]ort"):
        MediaHosts([entry])
