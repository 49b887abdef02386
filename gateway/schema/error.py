"""The error object, as the API's description tells it."""

from pydantic import BaseModel, Field


class Error(BaseModel):
    message: str
    type: str
    param: str | None = Field(description="The field at fault, if it is one.")
    code: int = Field(description="The HTTP status.")


class ErrorBody(BaseModel):
    error: Error
