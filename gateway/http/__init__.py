"""The outside of the gateway: connections, bodies, headers, streams of events."""
