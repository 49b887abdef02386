"""Fields of a search for the most probable answers."""

from typing import Annotated

from pydantic import BaseModel, Field

STEEPEST = 10.0  # a length to this power is still a number


class BeamFields(BaseModel):
    """With a search only max_tokens, temperature, ignore_eos, n, logprobs and what concerns the
    answer's form act; whatever else changes the draw is refused by name.
    """

    use_beam_search: bool | None = Field(
        None,
        description="Search the n most probable answers, best first, instead of drawing. Nothing "
        "is streamed before the end; the model's own sampling defaults do not apply; temperature "
        "0 is 1; the length is cut down to what n answers can have. Default: false.",
    )
    length_penalty: Annotated[float, Field(ge=-STEEPEST, le=STEEPEST)] | None = Field(
        None,
        description="Only with use_beam_search: answers are ranked by their log-probability / "
        "(tokens of prompt and answer) ** length_penalty. Default: 1.",
    )
