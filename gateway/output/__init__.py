"""From the tokens of an answer to what the client reads. See docs/output.md."""

from gateway.output.delta import Delta, ToolCallDelta, Usage, any_sum, known_sum
from gateway.output.fold import ChoiceText, ToolCall, fold
from gateway.output.output import Output
from gateway.output.plan import OutputPlan

__all__ = [
    "ChoiceText",
    "Delta",
    "Output",
    "OutputPlan",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
    "any_sum",
    "fold",
    "known_sum",
]
