"""What clients asked a cluster for, and when: recorded by others, or made up."""

from baton.cluster.traces.source import load_trace
from baton.cluster.traces.trace import Piece, Trace, TraceRequest

__all__ = ["Piece", "Trace", "TraceRequest", "load_trace"]
