"""What can be seen of the gateway: metrics, traces, what it does now."""
