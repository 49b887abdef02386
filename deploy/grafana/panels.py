"""The few kinds of panels that the dashboards have, and the frame around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.builders.heatmap import Panel as HeatmapPanel
from grafana_foundation_sdk.builders.heatmap import YAxisConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery as Target
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.queries import alerts, quantile

TAG = "baton"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HALF, THIRD, SIXTH = 12, 8, 4  # of the grid's 24 columns
QUANTILES = (0.5, 0.9, 0.99)

Panel = TimeseriesPanel | StatPanel | HeatmapPanel


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""


def quantiles(histogram: str) -> list[Query]:
    """A line for each."""
    return [Query(quantile(share, histogram), f"p{share * 100:g}") for share in QUANTILES]


def lines(
    title: str, about: str, unit: str, *queries: Query, width: int = THIRD, top: float | None = None
) -> TimeseriesPanel:
    """`unit` as Grafana names it; `top`: where the axis ends, of what has a known greatest value."""
    panel = (
        TimeseriesPanel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(width)
        .height(8)
        .fill_opacity(10)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .targets(_targets(queries))
    )
    return panel if top is None else panel.max(top)


def number(title: str, about: str, unit: str, *queries: Query, width: int = SIXTH) -> StatPanel:
    """What it is now."""
    return (
        StatPanel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(4)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .targets(_targets(queries))
    )


def heatmap(title: str, about: str, unit: str, expr: str, width: int = THIRD) -> HeatmapPanel:
    """`expr`: the buckets of a histogram, by `le`, each for itself. `unit` is that of `le`."""
    target = _target(Query(expr, "{{le}}"), "A").format(PromQueryFormat.HEATMAP)
    return (
        HeatmapPanel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit("cps")
        .y_axis(YAxisConfig().unit(unit))
        .show_tooltip()
        .span(width)
        .height(8)
        .calculate(False)  # they are buckets already
        .targets([target])
    )


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    panels: Sequence[Panel]


def page(name: str, title: str, about: str, *sections: Section) -> Dashboard:
    """`name` is the dashboard's uid without `baton-`, and its file's name."""
    built = (
        Dashboard(f"Baton / {title}")
        .uid(f"baton-{name}")
        .description(about)
        .tags([TAG])
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .variables([_datasource(), _namespace()])
        .annotation(_alerts())
        .link(_neighbours())
    )
    ids = count(1)
    for section in sections:
        built.with_row(Row(section.title).id(next(ids)))
        for panel in section.panels:
            built.with_panel(panel.id(next(ids)))
    return built


def _targets(queries: Sequence[Query]) -> list[Builder[Dataquery]]:
    return [_target(query, ref) for ref, query in zip("ABCDEFGH", queries, strict=False)]


def _target(query: Query, ref: str) -> Target:
    target = Target().expr(query.expr).ref_id(ref).range()
    return target.legend_format(query.legend) if query.legend else target


def _legend() -> VizLegendOptions:
    return (
        VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _datasource() -> DatasourceVariable:
    return DatasourceVariable("datasource").label("Data source").type("prometheus")


def _namespace() -> QueryVariable:
    return (
        QueryVariable("namespace")
        .label("Namespace")
        .datasource(SOURCE)
        .query("label_values(baton_worker_info, namespace)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .current(VariableOption(text="All", value="$__all"))
        .all_value(".*")
    )


def _alerts() -> AnnotationQuery:
    return (
        AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr(alerts(alertstate="firing"))
    )


def _neighbours() -> DashboardLink:
    return (
        DashboardLink("Baton")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
