"""What a gateway process is told at its start."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baton.core.errors import SettingsError
from baton.core.sampling_params import LogprobsMode
from baton.model_source import HubSettings, Part, resolve
from baton.registry.redis_settings import RedisSettings
from baton.rpc.tls_settings import ClusterTls
from baton.settings import nested, setting
from baton.telemetry.logs import FORMATS, LEVELS
from baton.telemetry.tracing_settings import TracingSettings
from gateway.http.cors_settings import CorsSettings
from gateway.http.head_limits import HeadLimits
from gateway.http.tls import TlsSettings
from gateway.images.settings import ImageSettings
from gateway.models.models_file import (
    OF_A_MODEL,
    Entry,
    as_text,
    check_names,
    check_unsaid,
    entries_of,
    located,
    settings_for,
)
from gateway.placing.policies import AUTO
from gateway.placing.policies import POLICIES as PLACEMENT_POLICIES
from gateway.settings_check import FCFS, HTTP, OWN_REGISTRY, POLICIES, check_values
from gateway.translations.response_store_settings import ResponseStoreSettings

UVICORN_LEVELS = ("critical", "error", "warning", "info", "debug")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    model: str = setting(
        "", "Folder or hub id of the model that the workers serve.", positional=True
    )
    hub: HubSettings = nested(HubSettings)
    tokenizer: str = setting("", "Folder or hub id of the tokenizer; the model's if left out.")
    served_model_name: tuple[str, ...] = setting(
        (), "Names clients may use. Answers carry the first. Default: the model as given."
    )
    models_file: str = setting(
        "",
        "YAML file of more models to serve, see docs/several-models.md. Without --model they are all "
        "there are.",
    )
    host: str = setting(HTTP[0], "Address of the HTTP server.")
    port: int = setting(HTTP[1], "Port of the HTTP server; 0 takes a free one.")
    uds: str = setting("", "Unix socket to listen on instead of --host and --port.")
    root_path: str = setting("", "Prefix under which a proxy shows this server, such as /llm.")
    api_key: tuple[str, ...] = setting(
        (),
        "Keys that clients must send one of, without limits (see --tenants-file). Requests of different "
        "keys share no cached prefix.",
        secret=True,
        env=("VLLM_API_KEY",),
    )
    tenants_file: str = setting(
        "",
        "YAML file of tenants with their API keys, weights and limits, see docs/tenants.md; a change "
        "acts within a second.",
    )
    tenants_in_redis: bool = setting(
        False,
        "Read tenants from Redis instead of a file; `baton tenants put FILE` writes them for all "
        "gateways. Needs --redis-url.",
    )
    tls: TlsSettings = nested(TlsSettings)
    cors: CorsSettings = nested(CorsSettings)
    middleware: tuple[str, ...] = setting(
        (), "Full names of ASGI middleware classes, or async functions; the first is outermost."
    )
    disable_fastapi_docs: bool = setting(False, "Serve neither /docs nor /openapi.json.")
    disable_status_page: bool = setting(False, "Serve no status page at /ui.")
    worker: str = setting(
        "",
        "HOST:PORT of the one worker to ask, for routers that choose workers themselves; it need not "
        "be registered.",
    )
    registry_host: str = setting(OWN_REGISTRY[0], "Address that workers register at.")
    registry_port: int = setting(
        OWN_REGISTRY[1], "Port that workers register at; 0 takes a free one."
    )
    redis: RedisSettings = nested(RedisSettings)
    cluster_secret: str = setting(
        "", "Shown on every call inside the cluster; empty: none.", secret=True
    )
    cluster_tls: ClusterTls = nested(ClusterTls)
    generation_config: str = setting(
        "auto",
        "Where sampling defaults come from: auto is the model's generation_config.json, vllm takes "
        "none, a folder is looked into.",
    )
    override_generation_config: dict[str, Any] | None = setting(
        None, 'Sampling defaults that win over those, such as {"temperature": 0.5}.'
    )
    max_logprobs: int = setting(
        20, "Most log-probabilities told per token; -1: as many as the vocabulary has."
    )
    logprobs_mode: str = setting(
        LogprobsMode.RAW_LOGPROBS.value,
        "What is told: log-probabilities or logits, as the model (and a grammar) left them, or as "
        "the token was drawn from.",
        choices=tuple(mode.value for mode in LogprobsMode),
    )
    logits_processor_pattern: str = setting(
        "",
        "Regular expression that a name in logits_processors must match from its beginning (default: "
        "none is allowed). Whoever may name a function runs it.",
    )
    chat_template: str = setting(
        "", "File of the chat template, or the template itself (default: the tokenizer's)."
    )
    chat_template_content_format: str = setting(
        "auto",
        "What templates get as a message's content: a string, or openai's list of parts; auto: "
        "whichever the template loops over.",
        choices=("auto", "string", "openai"),
    )
    trust_request_chat_template: bool = setting(
        False, "Take chat templates from requests; each is rendered in a process of its own."
    )
    exclude_tools_when_tool_choice_none: bool = setting(
        False, "Do not show tools to the template when tool_choice is none."
    )
    default_chat_template_kwargs: dict[str, Any] | None = setting(
        None, 'What the chat template is told, such as {"enable_thinking": false}.'
    )
    response_role: str = setting("assistant", "Role of the message that answers a chat.")
    reasoning_parser: str = setting(
        "auto",
        "How the model marks its reasoning: deepseek_r1, qwen3, mistral, gpt_oss, none, or the name "
        "of an entry point of baton.reasoning_parsers. auto looks at template and vocabulary.",
    )
    tool_call_parser: str = setting(
        "auto",
        "How the model writes tool calls: hermes, llama3_json, pythonic, mistral, none, or the name "
        "of an entry point of baton.tool_parsers. auto looks at the chat template.",
    )
    enable_auto_tool_choice: bool = setting(
        True, "Let the model choose whether to call a tool; it always may."
    )
    enable_request_id_headers: bool = setting(
        True, "Send X-Request-Id with every answer; it always is."
    )
    enable_server_load_tracking: bool = setting(
        True, "Count the requests that are being answered, for /load; they always are."
    )
    return_tokens_as_token_ids: bool = setting(
        False, "In log-probabilities, call tokens token_id:<id> unless a request says otherwise."
    )
    stream_interval: int = setting(1, "Tokens per chunk of a stream, after its first token.")
    structured_outputs_config: dict[str, Any] | None = setting(
        None,
        "Defaults of structured output: backend (auto, which is guidance; or xgrammar, an extra of "
        "the package), disable_any_whitespace, disable_additional_properties, disable_fallback, "
        "enable_in_reasoning.",
    )
    enable_prompt_tokens_details: bool = setting(
        True, "Tell in the usage how many tokens of the prompt were cached."
    )
    enable_force_include_usage: bool = setting(
        False, "End every stream with its usage, whether it is asked for or not."
    )
    strict_max_tokens: bool = setting(
        False,
        "Answer 400 to max_tokens that do not fit behind the prompt, instead of fewer tokens.",
    )
    strict_greedy_n: bool = setting(
        False, "Answer 400 to n above 1 at temperature 0, instead of n equal answers."
    )
    seed: int | None = setting(
        None,
        "Begins the seeds of requests that name none, so that the same requests in the same order "
        "get the same answers (default: random ones).",
    )
    tool_parser_plugin: str = setting(
        "", "A file that registers a parser of vLLM's: not supported, see docs/output.md."
    )
    strict_fields: bool = setting(False, "Answer 400 to a field that the API does not know.")
    scheduling_policy: str = setting(
        FCFS,
        "Who goes first, here and on workers: who came first, or who has the lowest `priority`.",
        choices=POLICIES,
    )
    placement_policy: str = setting(
        AUTO,
        "Which workers a request goes to: auto, those of the least predicted cost, a decode worker "
        "alone among them; the others are simpler, for comparison, and always pair two workers.",
        choices=PLACEMENT_POLICIES,
    )
    placement_history: int = setting(
        1000, "Latest requests whose placement GET /v1/requests/ID/placement explains; 0: none."
    )
    ignore_priority: bool = setting(
        False, "Take a `priority` that --scheduling-policy fcfs does not heed, instead of 400."
    )
    enable_tokenizer_info_endpoint: bool = setting(
        False, "Serve /tokenizer_info: the tokenizer's configuration and chat template."
    )
    max_queued_requests: int = setting(
        1024,
        "Requests that may wait for room; more get 429, and the moment from which a place is kept for "
        "them.",
    )
    max_queue_seconds: float = setting(
        60.0,
        "Longest wait for room; then 504. No more are let in than will have their turn by then.",
    )
    failover_timeout: float = setting(
        30.0,
        "Seconds that an answer that has begun waits for another worker when its own broke; then it "
        "ends with an error.",
    )
    resume_seconds: float = setting(
        3600.0, "How long the handles are good for by which an answer that was cut off goes on."
    )
    worker_silence_seconds: float = setting(
        300.0, "A request is given up after so long without a word from its workers."
    )
    client_stall_seconds: float = setting(
        60.0, "A client that stops sending its body or reading its stream is dropped after so long."
    )
    h11_max_incomplete_event_size: int = setting(
        64 << 10, "Largest request line with its headers; larger ones get 431.", size=True
    )
    h11_max_header_count: int = setting(256, "Most headers of a request; more get 431.")
    response_store: ResponseStoreSettings = nested(ResponseStoreSettings)
    max_body_bytes: int = setting(
        16 << 20,
        "Largest request body; a larger one gets 413, or 400 where an image makes it so.",
        size=True,
    )
    images: ImageSettings = nested(ImageSettings)
    shutdown_seconds: float = setting(
        25.0, "Longest time that requests get to finish after SIGTERM or Ctrl-C."
    )
    enable_log_requests: bool = setting(
        False, "Log prompts, parameters, token counts, finish reasons and timings."
    )
    max_log_len: int | None = setting(
        None, "Characters of a prompt that --enable-log-requests shows (default: all)."
    )
    log_level: str = setting("info", "How much to log.", choices=LEVELS)
    uvicorn_log_level: str | None = setting(
        None,
        "How much the HTTP server itself logs (default: as --log-level).",
        choices=UVICORN_LEVELS,
    )
    log_format: str = setting("auto", "auto: text on a terminal, else JSON.", choices=FORMATS)
    tracing: TracingSettings = nested(TracingSettings)
    ready_fd: int | None = setting(
        None, "File descriptor that gets one JSON line with the addresses, then is closed."
    )

    def check(self) -> None:
        """Raises SettingsError for a value that no gateway can run with."""
        if not self.model:
            raise SettingsError("--model is missing: the folder of the model, or its hub id")
        self.check_values()
        models = self.models
        for one in models[1:]:
            one.check_values()
        check_names([one.served_names for one in models])

    def check_values(self) -> None:
        """`check` for those who do not know the model yet."""
        check_values(self)

    def with_first(self) -> "GatewaySettings":
        """Where no flag names a model, the first of the file's is told as flags would tell it. Raises
        SettingsError.
        """
        if self.model or not self.models_file:
            return self
        check_unsaid(self, OF_A_MODEL)
        first, *others = self._entries
        return replace(settings_for(first, self), models_file=as_text(others))

    def located(self, say: Callable[[str], None]) -> "GatewaySettings":
        """With folders for hub ids, downloaded where needed. Raises SettingsError, see `resolve`."""
        folder = resolve(self.model, self.hub, Part.TEXT, say)
        tokenizer = self.tokenizer
        if tokenizer and not Path(tokenizer).is_dir():
            same = tokenizer == self.model
            hub = self.hub if same else replace(self.hub, revision="")
            tokenizer = str(resolve(tokenizer, hub, Part.TEXT, say))
        others = [located(entry, settings_for(entry, self).located(say)) for entry in self._entries]
        return replace(
            self,
            model=str(folder),
            served_model_name=self.served_names,
            tokenizer=tokenizer,
            hub=HubSettings(),
            models_file=as_text(others),
        )

    @property
    def models(self) -> tuple["GatewaySettings", ...]:
        """For each model what is told of it, and of the gateway. Raises SettingsError."""
        return (self, *(settings_for(entry, self) for entry in self._entries))

    @property
    def _entries(self) -> list[Entry]:
        return entries_of(self.models_file, GatewaySettings, OF_A_MODEL) if self.models_file else []

    @property
    def head_limits(self) -> HeadLimits:
        return HeadLimits(self.h11_max_incomplete_event_size, self.h11_max_header_count)

    @property
    def served_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.served_model_name)) or (self.model,)

    @property
    def model_folder(self) -> Path:
        return Path(self.model)

    @property
    def tokenizer_folder(self) -> Path:
        return Path(self.tokenizer or self.model)
