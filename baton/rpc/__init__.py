"""gRPC plumbing: servers, channels, errors, and the one translation between core and wire."""
