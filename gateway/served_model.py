"""One model as a gateway serves it: all that requests for it go through, and nobody else's do."""

from dataclasses import dataclass

from gateway.assignment import Assignment
from gateway.chat_answers import ChatAnswers
from gateway.chat_prompt import ChatPrompts
from gateway.delivery import Delivery
from gateway.dispatch import Dispatcher
from gateway.metrics import ModelMetrics
from gateway.model_names import ModelNames
from gateway.preparation import Preparation
from gateway.queue import AdmissionQueue
from gateway.request_log import RequestLog
from gateway.tokenizer import ChatTokenizer
from gateway.workers import Workers


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
