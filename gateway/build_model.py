"""Puts together what a gateway has for one of its models."""

import random
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from baton import __version__
from baton.core.errors import SettingsError
from baton.core.sampling_params import GrammarBackend, LogprobsMode
from baton.images.image_rules import rules_of
from gateway.answers.request_log import RequestLog
from gateway.chat.chat_answers import ChatAnswers
from gateway.chat.chat_prompt import ChatPrompts
from gateway.handles.remote_desk import RemoteDesk
from gateway.handles.remote_ticket import RemoteTickets
from gateway.handles.resume_desk import ResumeDesk
from gateway.handles.resume_handle import ResumeHandles
from gateway.images.desk import ImageDesk
from gateway.images.fetching import ImageFetcher
from gateway.members.assignment import Assignment
from gateway.members.workers import Workers
from gateway.model_names import ModelNames
from gateway.models.served_model import ServedModel
from gateway.params.generation_config import load_defaults
from gateway.params.output_planner import OutputPlanner
from gateway.params.priority_rule import PriorityRule
from gateway.params.sampling import RandomBits
from gateway.params.token_wishes import SamplingRules
from gateway.parsers.reasoning_formats import reasoning_format
from gateway.parsers.tool_formats import tool_format
from gateway.placing.placement_record import PlacementHistory
from gateway.placing.wishes import Elsewhere
from gateway.preparation import Preparation
from gateway.prompts.content_format import named_format
from gateway.prompts.rendering import RenderingRules
from gateway.prompts.tokenizer import ChatTokenizer, load_tokenizer, vocab_size_of
from gateway.serving.delivery import Delivery
from gateway.serving.dispatch import Dispatcher
from gateway.serving.queue import AdmissionQueue
from gateway.settings import GatewaySettings
from gateway.structured.checking import GrammarChecker
from gateway.structured.config import read_config
from gateway.structured.desk import GrammarDesk
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.recent_requests import RecentRequests


@dataclass(frozen=True, slots=True)
class Shared:
    """What all models of a gateway have together."""

    metrics: GatewayMetrics
    history: PlacementHistory
    recent: RecentRequests
    handles: ResumeHandles
    tickets: RemoteTickets | None
    priorities: PriorityRule
    log: RequestLog


def tokenizer_of(settings: GatewaySettings) -> ChatTokenizer:
    """Raises SettingsError for a folder that does not hold what is needed."""
    return load_tokenizer(
        settings.tokenizer_folder,
        settings.chat_template,
        named_format(settings.chat_template_content_format),
    )


def build_model(
    settings: GatewaySettings,
    tokenizer: ChatTokenizer,
    workers: Workers,
    elsewhere: Callable[[], Iterable[Elsewhere]],
    shared: Shared,
) -> ServedModel:
    """Of `settings` that name it. `elsewhere`: the workers of the other models. Raises SettingsError."""
    names = ModelNames(settings.served_names, settings.model)
    queue: AdmissionQueue[Assignment] = AdmissionQueue(
        settings.max_queued_requests,
        settings.max_queue_seconds,
        Assignment.give_back,
        lambda: workers.can_answer,
    )
    metrics = shared.metrics.of(names.first)
    shared.metrics.follow(names.first, workers.prefixes)
    shared.metrics.watch_queue(names.first, queue.waiting)
    dispatcher = Dispatcher(
        workers,
        queue,
        metrics,
        settings.worker_silence_seconds,
        settings.failover_timeout,
        shared.handles,
        shared.tickets,
        shared.history,
        shared.recent,
    )
    preparation = _preparation(settings, names, tokenizer, workers, elsewhere, shared)
    prompts = ChatPrompts(
        preparation, tokenizer, _rendering(settings, tokenizer), _image_desk(settings)
    )
    delivery = Delivery(dispatcher, tokenizer.vocabulary, settings.client_stall_seconds)
    return ServedModel(
        names=names,
        tokenizer=tokenizer,
        workers=workers,
        queue=queue,
        dispatcher=dispatcher,
        metrics=metrics,
        preparation=preparation,
        prompts=prompts,
        delivery=delivery,
        log=shared.log,
        chat=ChatAnswers(preparation, prompts, delivery, shared.log),
    )


def _preparation(
    settings: GatewaySettings,
    names: ModelNames,
    tokenizer: ChatTokenizer,
    workers: Workers,
    elsewhere: Callable[[], Iterable[Elsewhere]],
    shared: Shared,
) -> Preparation:
    vocab_size = vocab_size_of(settings.model_folder, tokenizer.vocabulary)
    planner = _planner(settings, tokenizer)
    return Preparation(
        workers,
        names,
        load_defaults(
            settings.model_folder, settings.generation_config, settings.override_generation_config
        ),
        planner,
        _grammars(settings, tokenizer, planner, vocab_size),
        ResumeDesk(shared.handles, lambda: workers.model_digest),
        RemoteDesk(shared.tickets, lambda: workers.known),
        elsewhere,
        vocab_size=vocab_size,
        fingerprint=f"baton-{__version__}-{tokenizer.digest[:8]}",
        strict_fields=settings.strict_fields,
        patience=settings.max_queue_seconds,
        force_usage=settings.enable_force_include_usage,
        prompt_tokens_details=settings.enable_prompt_tokens_details,
        strict_max_tokens=settings.strict_max_tokens,
        strict_greedy_n=settings.strict_greedy_n,
        random_bits=_random_bits(settings.seed),
        priorities=shared.priorities,
        sampling_rules=SamplingRules(
            settings.max_logprobs,
            LogprobsMode(settings.logprobs_mode),
            settings.logits_processor_pattern,
            tokenizer.ids_of,
        ),
    )


def _rendering(settings: GatewaySettings, tokenizer: ChatTokenizer) -> RenderingRules:
    return RenderingRules(
        tokenizer.templates,
        settings.default_chat_template_kwargs,
        trusts_requests=settings.trust_request_chat_template,
        hides_unused_tools=settings.exclude_tools_when_tool_choice_none,
        role=settings.response_role,
    )


def _image_desk(settings: GatewaySettings) -> ImageDesk:
    """Raises SettingsError where the model reads images and this gateway could not."""
    rules = rules_of(settings.model_folder)
    if rules is not None and find_spec("PIL") is None:
        raise SettingsError(
            f"{settings.model} reads images, and a gateway needs pillow for it: "
            "pip install 'baton-serving[vision]'"
        )
    images = settings.images
    return ImageDesk(
        rules,
        images.bounds,
        ImageFetcher(images.hosts(), images.image_fetch_seconds),
        trusts_kwargs=images.trust_request_mm_kwargs,
    )


def _grammars(
    settings: GatewaySettings, tokenizer: ChatTokenizer, planner: OutputPlanner, vocab_size: int
) -> GrammarDesk:
    config = read_config(settings.structured_outputs_config)
    marks = tokenizer.added_tokens
    if config.library is GrammarBackend.XGRAMMAR:  # the others are texts to it
        special = tokenizer.vocabulary.specials
        marks = {text: token_id for text, token_id in marks.items() if token_id in special}
    checker = GrammarChecker(settings.tokenizer_folder, vocab_size, marks, backend=config.library)
    return GrammarDesk(config, checker, planner, tokenizer.ids_of)


def _random_bits(seed: int | None) -> RandomBits:
    return secrets.randbits if seed is None else random.Random(seed).getrandbits


def _planner(settings: GatewaySettings, tokenizer: ChatTokenizer) -> OutputPlanner:
    vocabulary, templates = tokenizer.vocabulary, tokenizer.templates
    plain, calling = (templates.choose(with_tools) for with_tools in (False, True))
    return OutputPlanner(
        vocabulary,
        primary_eos=tokenizer.eos_token_id,
        reasoning=reasoning_format(
            settings.reasoning_parser, vocabulary, plain.text if plain else None
        ),
        tools=tool_format(settings.tool_call_parser, calling.text if calling else None),
        interval=settings.stream_interval,
        tokens_as_ids=settings.return_tokens_as_token_ids,
    )
