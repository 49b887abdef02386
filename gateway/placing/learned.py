"""What this gateway has learned of its workers' speed, of the links between them, and of answers."""

from baton.core.step_totals import StepTotals
from gateway.placing.answer_length import AnswerLength
from gateway.placing.link_model import LinkModels
from gateway.placing.link_traffic import LinkTraffic
from gateway.placing.speed_model import UNKNOWN, Speed, SpeedModel
from gateway.placing.typical import Typical

# Seconds of a time to first token beside the line and the reading: calls, drawing, telling.
RELAYED, ALONE = 4e-3, 2e-3


class Learned:
    """Workers by instance id, kinds by their fingerprints' digests. Pure."""

    def __init__(self) -> None:
        self._workers: dict[str, SpeedModel] = {}
        self._kinds: dict[str, SpeedModel] = {}
        self.links = LinkModels()
        self.traffic = LinkTraffic()
        self.answers = AnswerLength()
        self.relayed = Typical(RELAYED)  # of a prompt that a prefill worker reads
        self.alone = Typical(ALONE)  # of one that its decode worker reads

    def hear(self, worker: str, kind: str, totals: StepTotals) -> None:
        model = self._workers.get(worker)
        if model is None:
            of_kind = self._kinds.setdefault(kind, SpeedModel())
            model = self._workers[worker] = SpeedModel(of_kind)
        model.hear(totals)

    def speed(self, worker: str, kind: str) -> Speed:
        model = self._workers.get(worker) or self._kinds.get(kind)
        return UNKNOWN if model is None else model.speed

    def drop(self, worker: str) -> None:
        """It is gone. What its kind has learned of it stays."""
        self._workers.pop(worker, None)
        self.links.drop(worker)
        self.traffic.drop(worker)
