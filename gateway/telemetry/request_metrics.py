"""The instruments that one request moves."""

from itertools import product

from baton.telemetry.instruments import Instruments
from gateway import metric_families as families
from gateway.breaks import REASONS as BREAKS

STOP, LENGTH, ABORT, ERROR = ENDS = ("stop", "length", "abort", "error")
QUEUE, PREFILL, TRANSFER, DECODE = ("queue", "prefill", "transfer", "decode")  # phases
RESUMED, FAILED, ABANDONED = RESULTS = ("resumed", "failed", "abandoned")  # of what broke

Failover = tuple[str, str, str]  # reason, phase, result


class RequestMetrics:
    def __init__(self, page: Instruments) -> None:
        self.prompt_tokens = page.counter(families.PROMPT_TOKENS)
        self.generation_tokens = page.counter(families.GENERATION_TOKENS)
        self.ended = page.counters(families.ENDED, ENDS)
        self.aborted = page.counters(families.ABORTED, (QUEUE, PREFILL, DECODE))
        self.first_token = page.histogram(families.FIRST_TOKEN)
        self.inter_token = page.histogram(families.INTER_TOKEN)
        self.per_token = page.histogram(families.PER_TOKEN)
        self.end_to_end = page.histogram(families.END_TO_END)
        self.queue_time = page.histogram(families.QUEUE_TIME)
        self.prefill_time = page.histogram(families.PREFILL_TIME)
        self.decode_time = page.histogram(families.DECODE_TIME)
        self.inference_time = page.histogram(families.INFERENCE_TIME)
        self.prompt = page.histogram(families.REQUEST_PROMPT)
        self.generation = page.histogram(families.REQUEST_GENERATION)
        self.most_generation = page.histogram(families.MOST_GENERATION)
        self.n = page.histogram(families.PARAMS_N)
        self.max_tokens = page.histogram(families.PARAMS_MAX_TOKENS)
        self.failovers = {
            labels: page.counter(families.FAILOVERS, *labels)
            for labels in product(BREAKS, (PREFILL, TRANSFER, DECODE), RESULTS)
        }
