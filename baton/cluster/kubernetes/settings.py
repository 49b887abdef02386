"""The settings of `baton planner`, which scales Deployments."""

from dataclasses import dataclass
from pathlib import Path

from baton.cluster.kubernetes.api import SERVICE_ACCOUNT
from baton.cluster.planner.settings import PlannerSettings
from baton.core.errors import SettingsError
from baton.core.worker_info import Role
from baton.settings import nested, setting


@dataclass(frozen=True, slots=True)
class KubernetesPlannerSettings:
    decode_deployment: str = setting("", "Name of the Deployment of the decode workers.")
    prefill_deployment: str = setting(
        "", "And of the prefill workers; left out: there are none to be scaled."
    )
    namespace: str = setting("", "Of both (default: the one that this pod runs in).")
    kubernetes_url: str = setting("https://kubernetes.default.svc", "Kubernetes' API.")
    service_account: str = setting(
        str(SERVICE_ACCOUNT), "Folder with the token and authority that are shown to it."
    )
    planning: PlannerSettings = nested(PlannerSettings)

    def check(self) -> None:
        """Raises SettingsError."""
        if not self.planning.is_on:
            raise SettingsError("a planner that is off does nothing: --planner on or dry-run")
        if not self.decode_deployment:
            raise SettingsError("--decode-deployment must name the decode workers' Deployment")
        self.planning.check()
        if self.planning.max_workers is None:
            raise SettingsError(
                "--max-workers must say how many there may be: what there is when a planner begins "
                "is what the one before it has left"
            )

    @property
    def deployments(self) -> dict[Role, str]:
        named = {Role.PREFILL: self.prefill_deployment, Role.DECODE: self.decode_deployment}
        return {role: name for role, name in named.items() if name}

    def found_namespace(self) -> str:
        """Raises SettingsError where there is none."""
        if self.namespace:
            return self.namespace
        try:
            return (Path(self.service_account) / "namespace").read_text("utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"this is no pod with a service account ({error}): give --namespace"
            ) from error
