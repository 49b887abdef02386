"""What decides about a chat's prompt beside its messages."""

from gateway.schema.template_fields import TemplateFields
from gateway.schema.tools import ToolFields


class ChatFields(ToolFields, TemplateFields):
    def check_chat(self) -> None:
        """Raises RequestError for fields that contradict each other."""
        _ = self.tool_use, self.begins_answer
