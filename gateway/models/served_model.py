"""One model as a gateway serves it: all that requests for it go through, and nobody else's do."""

from dataclasses import dataclass

from gateway.answers.request_log import RequestLog
from gateway.chat.chat_answers import ChatAnswers
from gateway.chat.chat_prompt import ChatPrompts
from gateway.members.assignment import Assignment
from gateway.members.workers import Workers
from gateway.model_names import ModelNames
from gateway.preparation import Preparation
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.serving.delivery import Delivery
from gateway.serving.dispatch import Dispatcher
from gateway.serving.queue import AdmissionQueue
from gateway.telemetry.metrics import ModelMetrics


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """Its own workers, room, line and pace: a model that is full neither refuses nor delays another's
    requests.
    """

    names: ModelNames
    tokenizer: ChatTokenizer
    workers: Workers
    queue: AdmissionQueue[Assignment]
    dispatcher: Dispatcher
    metrics: ModelMetrics
    preparation: Preparation
    prompts: ChatPrompts
    delivery: Delivery
    log: RequestLog
    chat: ChatAnswers

    async def follow(self) -> None:
        """Its workers, until cancelled."""
        await self.workers.run(self.queue.pump)

    async def close(self) -> None:
        await self.dispatcher.close()
        await self.workers.close()
