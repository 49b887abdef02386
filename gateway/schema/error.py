"""The error object, as the API's description tells it."""

from typing import Literal

from pydantic import BaseModel, Field


class Error(BaseModel):
    message: str
    type: str
    param: str | None = Field(description="The field at fault, if it is one.")
    code: int = Field(description="The HTTP status.")


class ErrorBody(BaseModel):
    error: Error


class AnthropicError(BaseModel):
    type: str
    message: str = Field(description="Names the field at fault, if it is one.")


class AnthropicErrorBody(BaseModel):
    type: Literal["error"]
    error: AnthropicError
