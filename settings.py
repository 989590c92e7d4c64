"""Everything that can be configured, and the only reader of the environment and of `foreact.toml`.

Order of precedence: arguments, then `FOREACT_*` variables (`FOREACT_AGENT__AUTONOMOUS_MODE=false`), then
`foreact.toml`, then the defaults below.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from handlers.contract.action import ActionTraits
from plugins import modules_of
from storage.errors import ForeactError
from storage.private import is_secret_key, masked_in, secrets_in, shown_settings
from storage.records import GoalType, Objective, as_key

VERSION = "0.1.0"
CONFIG_NAME = "foreact.toml"
KEPT_NAME = "last-usable.toml"
_PREFIX = "FOREACT_"
MOST_AMOUNTS = 200
MOST_DAYS_A_WEEK = 8  # up to 8 main cycles in the longer one measured as good as a day alone, from 12 on far worse


def utc_now() -> datetime:
    """Return the time: the one clock of the project, called at its edges and handed inward as a tick."""
    return datetime.now(UTC)


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused, so that a typing error is never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AgentSettings(Section):
    """The loop as a whole."""

    name: str = "default"
    """name of this loop in its rows and events"""
    autonomous_mode: bool = True
    """act where the level allows it; false limits every action to recommend"""
    goal_sync_interval_seconds: float = Field(default=30, gt=0)
    """how often the facade checks whether anything is due"""
    analysis_interval_minutes: float = Field(default=60, gt=0)
    """how often a full cycle runs"""
    seed: int = 0
    """seed of all random draws; the same seed and data give the same decisions"""


def _are_served(seasons_s: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse seasons that would spoil forecasts: the shortest is taken for the day, the longer for the week."""
    shortest, *longer = sorted(seasons_s)
    if len(longer) > 1 or (longer and longer[0] > MOST_DAYS_A_WEEK * shortest):
        raise ValueError(
            f"name the main cycle and at most one longer one of up to {MOST_DAYS_A_WEEK} main cycles; "
            "shorter ones within the main cycle are learned with it and need not be named"
        )
    return seasons_s


Seasons = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1), AfterValidator(_are_served)]
"""The main cycle of a system and, where there is one, a longer one made of it: a day and a week."""


class MetricMethod(Section):
    """A forecaster for one metric with arguments of its own."""

    method: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ForecasterSettings(Section):
    """Which forecaster serves which metric; `darts:<Class>` names any Darts model.

    A metric names a method, which then takes the `arguments` of that method, or a method with arguments of its own.
    """

    default_method: str = "ensemble"
    """the forecaster; `darts:<Class>` names any Darts model: [forecasting.md](forecasting.md)"""
    per_metric: dict[str, str | MetricMethod] = Field(default_factory=dict)
    """another method for one metric: `per_metric = { latency = "darts:Theta" }`, or with its own arguments: `{ method
    = "darts:Theta", arguments = { theta = 1 } }`
    """
    arguments: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """arguments of a method: `arguments."darts:Theta" = { theta = 3 }`"""
    model_budget_seconds: float = Field(default=20, gt=0, description="for all darts models of a turn")
    """time for all Darts models in a cycle; series not reached come first in the next"""
    horizon_steps: int = Field(default=288, ge=5, le=2_016)
    """steps to forecast"""
    window_steps: int = Field(default=2_016, ge=60, le=20_000)
    """steps of history to use"""
    step_seconds: float = Field(default=0, ge=0, description="0 chooses by how long the history is")
    """length of a step; 0 chooses it from the history"""
    seasons_seconds: Seasons = (86_400, 604_800)
    """the main cycle of your system and a longer one of at most 8 main cycles"""
    max_series: int = Field(default=10_000, ge=1)
    """most series to forecast"""
    shards: int = Field(default=1, ge=1, le=10_000, description="chunks into which a large fleet is cut")
    """chunks into which a large fleet is cut"""
    task_runner: Literal["in-process", "threads", "processes", "dask", "ray"] = "in-process"
    """what runs the chunks: "threads", "processes", "dask" or "ray"
    """


class PatternSettings(Section):
    """What counts as a recurring pattern."""

    min_occurrences: int = Field(default=3, ge=2)
    """fewest events that can form a recurrence; 2 counts as 3, because two show no period"""
    time_window_hours: float = Field(default=168, gt=0)
    """how far back events are searched, at least four weeks"""
    timezone: str = "UTC"
    """time zone of your users: learned hours, days and weeks of patterns, and maintenance windows go by its clocks"""
    refresh_minutes: float = Field(default=60, ge=0, description="how long what long searches found is taken to hold")
    """how long the results of slow searches are reused"""

    @field_validator("timezone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("there is no such time zone; write it like Europe/Berlin") from None
        return name


class GoalSetterSettings(Section):
    """Whether and how many goals the loop sets for itself."""

    auto_goal_setting: bool = True
    """whether foreact sets goals by itself"""
    max_active_goals: int = Field(default=10, ge=1, le=1_000)
    """most open goals"""


_STATE_RULE = re.compile(r"worst|([1-9]\d{0,3}) of n")


class ForecastingSettings(Section):
    """Monitor, patterns, forecast and goals."""

    auto_analysis_enabled: bool = True
    """run cycles on schedule; otherwise only on request"""
    analysis_interval_minutes: float | None = Field(default=None, gt=0)
    """overrides `agent.analysis_interval_minutes`"""
    state_rule: str = Field(default="worst", description="by which the overall state follows from the objectives")
    """when the overall state is degraded or critical: with the worst objective, or only if that many are broken
    together: "2 of n"
    """
    forecaster: ForecasterSettings = ForecasterSettings()
    pattern_recognizer: PatternSettings = PatternSettings()
    goal_setter: GoalSetterSettings = GoalSetterSettings()

    @field_validator("state_rule")
    @classmethod
    def _is_a_rule(cls, rule: str) -> str:
        if _STATE_RULE.fullmatch(rule) is None:
            raise ValueError('write "worst", or how many objectives must be broken to count, as in "2 of n"')
        return rule

    @property
    def state_needs(self) -> int:
        """Return how many objectives must be broken to count for the overall state: 1 where the worst does."""
        match = _STATE_RULE.fullmatch(self.state_rule)
        return int(match[1] or 1) if match else 1


LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAYS = tuple(day[:3] for day in LONG_DAYS)


def _short_day(text: str) -> str:
    given = text.strip().lower()
    meant = [day[:3] for day in LONG_DAYS if len(given) >= 3 and day.startswith(given)]
    if not meant:
        raise ValueError(f"this is no day of the week; write {', '.join(DAYS)}")
    return meant[0]


Day = Annotated[str, AfterValidator(_short_day)]
"""A day of the week, in full or by its first three letters."""


class MaintenanceWindow(Section):
    """A span in which nothing is done: `start` and `end` as HH:MM in UTC, on `days` (mon … sun)."""

    start: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    end: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    days: tuple[Day, ...] = Field(default=DAYS, min_length=1)


def _is_rate_limit(text: str) -> str:
    if re.match(r"^\s*\d+\s*(/|per|a|an)\s*(minute|hour|day|week)\s*$", text) is None:
        raise ValueError('this is no rate limit; write it like "3/hour" or "7/day"')
    return text


RateLimit = Annotated[str, AfterValidator(_is_rate_limit)]
"""How many acts a span allows, as in "3/hour" or "7/day"."""


class ExecutorSettings(Section):
    """Plan, execute, measure and learn."""

    execution_interval_seconds: float = Field(default=60, gt=0)
    """shortest time between two rounds of due actions"""
    max_concurrent_goals: int = Field(default=3, ge=1)
    """how many goals it acts on at once"""
    enable_learning: bool = True
    """whether outcomes change beliefs"""
    dry_run: bool = False
    """only say what would be done"""
    holdout_ratio: float = Field(default=0.05, ge=0, le=0.5)
    """how often it does nothing on purpose, to measure what happens anyway"""
    margin_ratio: float = Field(default=0.3, ge=0, le=1)
    """how much better acting must be than doing nothing"""
    try_pairs: bool = False
    """where no single action is seen to help, try two together: [composed-plans.md](composed-plans.md)"""
    late_effects: Literal["off", "shadow", "act"] = "shadow"
    """what is learned of effects that come late or add up is said (shadow), or done once it is shown to be better
    (act): [late-effects.md](late-effects.md)
    """
    late_effects_hours: float = Field(default=6.0, gt=0, le=168)
    """how far ahead such effects are looked for"""
    measure_horizon_seconds: float = Field(default=600, gt=0)
    """how long after an action its effect is measured; where no `duration_seconds` says how long it works, up to six
    times as long, an hour at most, until the next action on the same metric"""
    stabilisation_seconds: float = Field(default=300, ge=0)
    """how long at least after an action a worse guard metric causes an undo, and for how long it is checked between
    cycles; with 0 only whole cycles check
    """
    approval_expires_seconds: float = Field(default=86_400, gt=0)
    """how long an action waits for approval, and how long an approval is valid"""
    rate_limits: tuple[RateLimit, ...] = ("30/hour", "200/day")
    """limits on all actions, several at once; amounts count only if set here"""
    blast_radius: int = Field(default=3, ge=1, description="actions on one target within an hour")
    """most actions on one target within an hour; amounts count only if set here"""
    blast_radius_labels: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="by label: on how many targets of one value is acted within an hour"
    )
    """most targets that share a label value within an hour: `{ zone = 1 }`"""
    breaker_failures: int = Field(default=3, ge=1)
    """failures in a row after which an action pauses"""
    breaker_seconds: float = Field(default=1_800, gt=0)
    """length of that pause"""
    maintenance: tuple[MaintenanceWindow, ...] = ()
    """windows in which nothing is done: `[{ start = "22:00", end = "23:30", days = ["sun"] }]`, by the clocks of
    `forecasting.pattern_recognizer.timezone`
    """


class Amounts(Section):
    """The amounts that an action may set: from `least` to `most`, `step` apart."""

    least: float
    most: float
    step: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _are_few_and_ascend(self) -> Amounts:
        if not 0 <= (self.most - self.least) / self.step <= MOST_AMOUNTS:
            raise ValueError(f"most must not be under least, nor more than {MOST_AMOUNTS} steps above it")
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """Return every amount, ascending."""
        count = int((self.most - self.least) / self.step + 1e-9) + 1
        return tuple(round(self.least + number * self.step, 9) for number in range(count))


class Declaration(BaseModel):
    """What only an action that the configuration declares says of itself."""

    model_config = ConfigDict(frozen=True, extra="allow")

    candidates: tuple[dict[str, Any], ...] = ()
    risk: Literal["low", "medium", "high"] = "low"
    reversible: bool = True
    summary: str = ""
    target: str = ""


def _one_is_a_list_of_one(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _has_a_rule(name: Any) -> Any:
    # Rules are plug-ins: found in their folder like all others, they say which types of goal there are.
    try:
        served = sorted({str(rule.GOAL_TYPE) for rule in modules_of("tasks.goals.rules")})
    except (ImportError, SyntaxError, AttributeError) as trouble:
        raise ValueError(f"the rules in tasks/goals/rules cannot be read: {trouble}") from None
    if name not in served:
        raise ValueError(f"no rule sets goals of this type; there are {', '.join(served)}")
    return name


CHECKED = {
    "GoalTypeName": Annotated[GoalType, BeforeValidator(_has_a_rule)],
    "RateLimit": RateLimit,
    "Names": Annotated[tuple[str, ...], BeforeValidator(_one_is_a_list_of_one)],
    "Amounts": Amounts,
}
"""What the names of types in `ActionTraits` stand for in a configuration."""

_KEYS = {each.name: re.sub("_s$", "_seconds", each.name) for each in fields(ActionTraits)}
"""The key in the configuration of each trait of an action."""


class _ActionSection(Section):
    """What one action may do: the traits of actions as far as they are set here, and options of its own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="after")
    def _amounts_are_of_something(self) -> _ActionSection:
        if "amounts" in self.traits and "sets" not in self.traits:
            raise ValueError('amounts are of something: name the series they set, as in sets = "servers"')
        return self

    @model_validator(mode="after")
    def _what_it_declares_can_be_used(self) -> _ActionSection:
        if not self.is_declared:
            return self
        try:
            Declaration.model_validate(self.options)
        except ValidationError as trouble:
            first = trouble.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{key}: {first['msg']}") from None
        return self

    @property
    def traits(self) -> dict[str, Any]:
        """Return the traits that are set, by the names that `ActionTraits` has for them."""
        said = {name: getattr(self, key) for name, key in _KEYS.items()}
        return {
            name: value.values if isinstance(value, Amounts) else value
            for name, value in said.items()
            if value is not None
        }

    @field_validator("sets", "controls", mode="after", check_fields=False)
    @classmethod
    def _names_series(cls, named: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        return tuple(map(as_key, named)) if isinstance(named, tuple) else named and as_key(named)

    @property
    def is_declared(self) -> bool:
        """Tell whether the configuration declares the action itself, by what it offers."""
        return "amounts" in self.traits or "candidates" in self.options

    @property
    def declaration(self) -> dict[str, Any]:
        """Return what is declared of an action which its world carries out, beside its traits."""
        declared = Declaration.model_validate(self.options)
        offers = declared.candidates or (({},) if "amounts" in self.traits else ())
        said = {name: getattr(declared, name) for name in Declaration.model_fields}
        return {name: value for name, value in said.items() if value != ""} | {"candidates": offers}

    @property
    def options(self) -> dict[str, Any]:
        """Return the keys that belong to the action itself."""
        return dict(self.model_extra or {})


def _with_traits() -> type[_ActionSection]:
    """Return the section with a key for each trait; what is not set there is left to the action."""
    hints = get_type_hints(ActionTraits, localns=CHECKED, include_extras=True)
    keys: dict[str, Any] = {
        _KEYS[each.name]: (hints[each.name] | None, Field(default=None, **each.metadata))
        for each in fields(ActionTraits)
    }
    return create_model("ActionSettings", __base__=_ActionSection, __module__=__name__, **keys)


if TYPE_CHECKING:
    ActionSettings = _ActionSection
else:
    ActionSettings = _with_traits()


class AlertSettings(Section):
    """Whom to tell of what the loop and people decide, and from what severity on."""

    urls: tuple[str, ...] = Field(default=(), description="Apprise URLs; without any nobody is told")
    """whom to alert, as [Apprise](https://github.com/caronc/apprise) addresses; without any nobody is told"""
    minimum_severity: Literal["info", "warning", "critical"] = "critical"
    """from which severity on people are alerted"""


class SamplerSettings(Section):
    """The host sampler in the facade process."""

    enabled: bool = True
    """whether the host is sampled"""
    interval_seconds: float = Field(default=10, gt=0)
    """how often the host is sampled"""


def _without_brackets(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


Host = Annotated[str, AfterValidator(_without_brackets)]
"""Where a server listens: an address, one of IPv6 also in brackets as URLs have it, or a name."""


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def browsable(host: str) -> str:
    """Return the address at which a browser on this machine reaches a server that listens on `host`."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{named}]" if ":" in named else named


class ServerSettings(Section):
    """Where the facade and the Prefect server listen, to whom, and to how much."""

    host: Host = "127.0.0.1"
    """where the facade listens; any other host than this machine's own needs API keys (`foreact keys`), see
    [SECURITY.md](../SECURITY.md)
    """
    port: int = Field(default=5003, ge=1, le=65_535)
    """the port of pages and REST interface"""
    prefect_host: Host = "127.0.0.1"
    """where the Prefect server listens; any other host than this machine's own needs `prefect_auth`"""
    prefect_port: int = Field(default=4200, ge=1, le=65_535)
    """the port of the Prefect server"""
    prefect_auth: bool = Field(default=False, description="whether the Prefect server asks for the stack's login")
    """whether the Prefect server asks for a login; its programs here have it from `.foreact/prefect.auth`"""
    max_body_bytes: int = Field(default=5_000_000, ge=1_000)
    """largest request body"""
    max_requests_per_second: float = Field(default=5_000, gt=0, description="of one key, or one address without")
    """how many requests one key, or one address without a key, may send; twice as many at once"""
    max_connections: int = Field(default=500, ge=10)
    """how many connections may be open"""
    body_timeout_seconds: float = Field(default=20, gt=0, description="in which headers, and then a body, arrive")
    """time in which the headers, and then the body, of a request have to arrive"""
    statsd_host: Host = Field(default="127.0.0.1", description="where StatsD listens, which knows no keys")
    """where StatsD is taken (UDP); it knows no keys, whatever `server.host` is: whoever reaches this address records
    metrics
    """
    statsd_port: int = Field(default=0, ge=0, le=65_535, description="UDP port for StatsD; 0 does not listen")
    """the port for StatsD; 0 takes none"""
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/@?#]+(/[^\s?#]*)?)?$",
        description="where people's browsers reach the facade; alerts then carry links that approve or reject",
    )
    """where people's browsers reach the facade, as `https://foreact.example.com`; alerts about actions that wait then
    carry links that approve and reject, see [safety.md](safety.md)
    """

    @model_validator(mode="after")
    def _prefect_asks_whoever_is_not_here(self) -> ServerSettings:
        if not is_loopback(self.prefect_host) and not self.prefect_auth:
            raise ValueError(
                f"whoever reaches {self.prefect_host} could run commands here: set server.prefect_auth = true, "
                "or leave prefect_host at 127.0.0.1"
            )
        return self


class TopologySettings(Section):
    """What depends on what, by which causes are looked for; labels go from the smallest kind to the largest."""

    depends_on: dict[str, Annotated[tuple[str, ...], BeforeValidator(_one_is_a_list_of_one)]] = Field(
        default_factory=dict, description="by component: what it calls or needs"
    )
    """by component, what it calls or needs: `shop = ["cart", "search"]`"""
    labels: tuple[str, ...] = Field(
        default=(
            "query",
            "process",
            "container",
            "pod",
            "unit",
            "deployment",
            "work_pool",
            "service",
            "instance",
            "host",
        ),
        description="whose value names the component that a series is of",
    )
    """the labels whose value names the component that a series is of, the smallest kind first"""
    traffic: str | None = Field(default=None, description="the metric that counts a component's requests")
    """the metric that counts a component's requests, as in `requests`"""


class SharedSettings(Section):
    """One scarce thing that several foreacts share, as the one that grants it or one that holds a part of it."""

    total: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """how much of it there is; given in the one foreact that grants it"""
    coordinator: str = Field(default="", pattern=r"^(https?://[^\s@?#]+)?$")
    """the address of the foreact that grants it, as `http://10.0.0.5:5003`; left out where that is this one"""
    unit: str = Field(default="units", min_length=1, max_length=40)
    """what it is counted in, for people"""
    actions: Annotated[tuple[str, ...], BeforeValidator(_one_is_a_list_of_one)] = ()
    """which of this foreact's actions draw on it: those that set one amount, or else acts, which are counted by the
    hour
    """
    holders: tuple[str, ...] = ()
    """the `agent.name` of all that share it, given where total is: nothing is added to what they hold before all have
    been heard of. Where none are named everybody with a key may take part, and nothing is added within the first lease
    """
    safe: float = Field(default=0, ge=0, allow_inf_nan=False)
    """what this foreact may hold without asking, and goes back to when the coordinator is lost"""
    key_file: Path | None = None
    """file with an operator's API key for the coordinator (`foreact keys add NAME --role operator`)"""
    lease_seconds: float = Field(default=900, gt=0, le=86_400)
    """how long a grant holds unless it is renewed; at least two and a half turns of who asked"""
    gives_way_seconds: float | None = Field(default=None, ge=0)
    """how long after a lease has ended its holder is sure to be back at its safe amount **even if it has crashed**,
    because what it holds gives way by itself; then the rest is given to others. Left out, what a silent holder had is
    kept for it until it answers or a person releases it
    """
    clock_margin_seconds: float = Field(default=60, ge=0)
    """by how much clocks may run apart, or be set, within a lease"""

    @model_validator(mode="after")
    def _has_one_coordinator(self) -> SharedSettings:
        if (self.total is None) is not bool(self.coordinator):
            raise ValueError(
                "say either total, in the one foreact that grants it, or in all others coordinator, with its address"
            )
        if self.total is not None and self.safe > self.total:
            raise ValueError("safe is more than there is in total")
        return self


class StorageSettings(Section):
    """How long rows are kept."""

    samples_days: float = Field(default=90, gt=0)
    """how many days samples and events are kept"""
    forecasts_days: float = Field(default=30, gt=0)
    """how many days is kept what cycles computed; of forecasts that came due more than six hours ago one an hour is,
    of those older than eight days one in six hours
    """
    records_days: float = Field(default=365, gt=0)
    """how many days goals, actions and outcomes are kept; older lines of the audit trail move into archives"""


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        toml_file=CONFIG_NAME,
    )

    home: Path = Path(".foreact")
    """folder of the database, the logs and Prefect's own files"""
    folder: Path | None = Field(default=None, exclude=True, description="where foreact.toml lies")
    trouble: str = Field(default="", exclude=True, description="why an earlier foreact.toml is in force")
    prefect_api_url: str | None = None
    """your own Prefect server, instead of the one that `foreact up` starts"""
    agent: AgentSettings = AgentSettings()
    forecasting: ForecastingSettings = ForecastingSettings()
    executor: ExecutorSettings = ExecutorSettings()
    alerts: AlertSettings = AlertSettings()
    sampler: SamplerSettings = SamplerSettings()
    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    topology: TopologySettings = TopologySettings()
    shared: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")], SharedSettings] = Field(
        default_factory=dict
    )
    """scarce things that several foreacts share: [shared-budgets.md](shared-budgets.md)"""
    actions: dict[str, ActionSettings] = Field(default_factory=dict)
    """what each action may do: [below](#one-action-actionsname)"""
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """where metrics and events are pulled from: [below](#one-source-sourcesname)"""
    objectives: tuple[Objective, ...] = ()
    """your objectives, each a section `[[objectives]]`: [goals.md](goals.md)"""
    use_default_objectives: bool | Literal["examples"] = True
    """watch the host with default objectives; `"examples"` adds those for the metrics of the documented examples:
    [goals.md](goals.md)
    """

    @field_validator("objectives")
    @classmethod
    def _objectives_have_names_of_their_own(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        names = [objective.name for objective in objectives]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"objectives named twice: {', '.join(twice)}")
        return objectives

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put arguments first, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def analysis_interval_s(self) -> float:
        """Return how often a whole cycle runs, in seconds."""
        minutes = self.forecasting.analysis_interval_minutes or self.agent.analysis_interval_minutes
        return minutes * 60

    @property
    def options_to_read(self) -> dict[str, dict[str, Any]]:
        """Return the options of each action that a handler is to read: of all but those declared for a world."""
        return {name: each.options for name, each in self.actions.items() if not each.is_declared}

    @property
    def database_path(self) -> Path:
        """Return where the DuckDB file lies."""
        return self.home / "foreact.duckdb"

    @property
    def prefect_url(self) -> str:
        """Return the Prefect API: the one configured, or that of the server we start."""
        return self.prefect_api_url or f"http://{browsable(self.server.prefect_host)}:{self.server.prefect_port}/api"

    @property
    def prefect_login_path(self) -> Path | None:
        """Return the file with the login that the Prefect server we start asks for; None where it asks for none."""
        return self.home / "prefect.auth" if self.server.prefect_auth and self.prefect_api_url is None else None

    @property
    def kill_switch_path(self) -> Path:
        """Return the file which, when it exists, stops every act."""
        return self.home / "STOP"

    @property
    def hash(self) -> str:
        """Return a short hash of all that is configured, so that a cycle can be traced to it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def shown(self) -> dict[str, Any]:
        """Return all that is configured, as JSON, for whoever may look at it: without secrets."""
        return shown_settings(self.model_dump(mode="json"), frozenset(_KEYS.values()))

    def secrets(self) -> frozenset[str]:
        """Return the texts in it that are secrets."""
        given = self.model_dump(mode="json", include={"sources", "actions", "prefect_api_url"})
        return secrets_in({**given, "urls": self.alerts.urls})

    def action(self, name: str) -> ActionSettings:
        """Return what one action may do; the defaults where nothing is configured."""
        return self.actions.get(name, ActionSettings())


def load_settings(folder: Path | str | None = None, *, config: Path | None = None, **overrides: Any) -> Settings:
    """Read the configuration of a folder (by default `FOREACT_FOLDER`, then the current one).

    `config` names another file to take the place of the folder's foreact.toml.

    Raises `configuration_invalid`, naming file or environment variable, key and remedy, when something in them cannot
    be used.
    """
    base = _folder(folder)
    file = config or base / CONFIG_NAME

    class _Located(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        located = _Located(**overrides)
    except (ValidationError, SettingsError, tomllib.TOMLDecodeError) as trouble:
        raise _unusable(file, overrides, trouble) from None
    fields = {name: getattr(located, name) for name in Settings.model_fields}
    home = located.home if located.home.is_absolute() else base / located.home
    prefect_url = located.prefect_api_url or os.environ.get("PREFECT_API_URL") or None
    return Settings.model_construct(**fields | {"home": home, "folder": base, "prefect_api_url": prefect_url})


def settings_in_force(folder: Path | str | None = None) -> Settings:
    """Read the configuration of a folder; where it cannot be used, the last one that could, with why as `trouble`.

    Whoever reads a usable one keeps its text in `home`, so that a process that starts later goes on with it as well.
    What the unusable file forbids still counts as far as it can be read: `autonomous_mode = false`, `dry_run = true`.

    Raises `configuration_invalid` where none was kept.
    """
    base = _folder(folder)
    text = _text_of(base / CONFIG_NAME)
    try:
        settings = load_settings(base)
    except ForeactError as trouble:
        content = _content_of(text)
        kept = base / os.environ.get("FOREACT_HOME", str(content.get("home", ".foreact"))) / KEPT_NAME
        try:
            last = load_settings(base, config=kept, **_forbidden(content)) if kept.exists() else None
        except ForeactError:
            last = None
        if last is None:
            raise trouble from None
        return last.model_copy(update={"trouble": str(trouble)})
    if _text_of(base / CONFIG_NAME) == text:
        _keep(settings.home, text)
    return settings


def _folder(folder: Path | str | None) -> Path:
    return Path(folder or os.environ.get("FOREACT_FOLDER", ".")).resolve()


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _content_of(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _forbidden(content: Mapping[str, Any]) -> dict[str, Any]:
    cautious = (("agent", "autonomous_mode", False), ("executor", "dry_run", True))
    sections = ((section, content.get(section), key, value) for section, key, value in cautious)
    return {
        section: {key: value}
        for section, given, key, value in sections
        if isinstance(given, dict) and given.get(key) is value
    }


def _keep(home: Path, text: str) -> None:
    """Keep a usable configuration's text, for its owner alone; a home that is not there yet is not made for it."""
    kept = home / KEPT_NAME
    if not home.is_dir() or (kept.exists() and _text_of(kept) == text):
        return
    new = kept.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        new.replace(kept)


def _unusable(
    file: Path, given: Mapping[str, Any], trouble: ValidationError | SettingsError | tomllib.TOMLDecodeError
) -> ForeactError:
    if isinstance(trouble, tomllib.TOMLDecodeError):
        return ForeactError(
            "configuration_invalid",
            f"{file} is not valid TOML: {trouble}.",
            "Correct that line and try again.",
        )
    if isinstance(trouble, SettingsError):
        text = getattr(trouble.__cause__, "doc", None)
        name = next((name for name in _variables() if os.environ[name] == text), _PREFIX + "…")
        return ForeactError(
            "configuration_invalid",
            f"The environment variable {name} is not valid JSON{_given(name.lower().split('__'), text)}.",
            f'Write a list as in ["3/hour", "200/day"] and a table as in {{"seed": 1}}, or put it into {CONFIG_NAME}.',
        )
    first = trouble.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    why = "there is no such key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    said = f"{why}{_given(first['loc'], first.get('input'))}"
    if _holds(given, first["loc"]):
        where, remedy = f"What was given as {key}", f"Correct or leave out `{key}`"
    elif variable := _variable_of(first["loc"]):
        where, remedy = f"The environment variable {variable} ({key})", f"Correct or unset {variable}"
    else:
        named = _named_by(_content_of(_text_of(file)), first["loc"])
        where, remedy = f"{file}: {key}{named}", f"Correct or remove `{key}`"
    return ForeactError(
        "configuration_invalid", f"{where}: {said}.", f"{remedy}; docs/configuration.md lists every key."
    )


_MAY_HOLD_SECRETS = frozenset({"foreact_sources", "foreact_actions"})


def _given(place: Sequence[int | str], value: Any) -> str:
    """Return what was given, in brackets; nothing where it may be a secret."""
    if any(is_secret_key(str(part)) or part in _MAY_HOLD_SECRETS for part in place):
        return " (what was given is not shown)"
    return f" (given: {masked_in(value)!r:.300})"


def _holds(given: Any, loc: tuple[int | str, ...]) -> bool:
    """Tell whether a key was given as an argument; of a list it is enough that the list was."""
    if not loc or not isinstance(given, Mapping):
        return True
    return loc[0] in given and _holds(given[loc[0]], loc[1:])


def _variables() -> list[str]:
    return [name for name in os.environ if name.upper().startswith(_PREFIX)]


def _variable_of(loc: tuple[int | str, ...]) -> str | None:
    """Return the environment variable that a key was taken from: one of its name, or of a part that it is in."""
    variables = {name.upper(): name for name in _variables()}
    for length in range(len(loc), 0, -1):
        name = variables.get(_PREFIX + "__".join(map(str, loc[:length])).upper())
        rest = loc[length:]
        if name and (not rest or isinstance(rest[0], int) or f'"{rest[0]}"' in os.environ[name]):
            return name
    return None


def origins_of(folder: Path | None, places: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return where the key at each place comes from: an environment variable, by name, foreact.toml, or the default."""
    content = _content_of(_text_of(folder / CONFIG_NAME)) if folder else {}
    return {place: _variable_of(place) or (CONFIG_NAME if _is_in(content, place) else "default") for place in places}


def _is_in(content: Any, place: tuple[str, ...]) -> bool:
    return not place or (isinstance(content, dict) and place[0] in content and _is_in(content[place[0]], place[1:]))


def _named_by(content: Mapping[str, Any], place: tuple[int | str, ...]) -> str:
    """Return which objective a place in the file belongs to: nobody counts them."""
    try:
        return f" (of {content['objectives'][place[1]]['name']})" if place[0] == "objectives" else ""
    except (IndexError, KeyError, TypeError):
        return ""


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a process that we start: ours, with `extra` on top."""
    return {**os.environ, **extra}


def set_environment_defaults(values: Mapping[str, str]) -> None:
    """Set variables that are not set yet, for libraries that read the environment when they are imported."""
    for name, value in values.items():
        os.environ.setdefault(name, value)
