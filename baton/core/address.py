"""Host and port as one word, as URLs and gRPC write them."""


def join_address(host: str, port: int) -> str:
    """`127.0.0.1:80`, `[::1]:80`; a host that comes in brackets keeps them."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
