"""What a scenario is: the typed, frozen schema of conf/<scenario>.yaml and of conf/local.yaml.

Light to import (no Spark, no torch): `nightshelf validate` checks a scenario in a moment. Every error
of a file is reported at once, with its line, its key and the nearest valid key.
"""

import difflib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from jobs.examples.config import INTEREST_LABEL, ExamplesConfig, Rate
from jobs.features.config import CoPurchases, DeclaredFeature
from jobs.learn.config import LearnConfig
from jobs.logs.config import EVENT_TYPES, LogsConfig
from jobs.publish.config import PublishConfig
from mtl_model.config import ModelConfig, StrictModel

CONF_FOLDER = Path(__file__).resolve().parents[1] / "conf"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")  # it becomes part of file names and run ids

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """A scenario that cannot be used; `problems` has one line for each error."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class FeaturesConfig(StrictModel):
    """Windows of the features; ranks among a user's items go by the first of the half-lives.

    A day's users are spread over `user_files_per_day` files of events, tiles and features, each the work of
    one task: more of them where a day's users are too many for one. `declared` features are over any events,
    with windows of their own.
    """

    windows_days: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    half_lives_days: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    user_files_per_day: PositiveInt = 1
    declared: tuple[DeclaredFeature, ...] = ()
    co_purchases: CoPurchases | None = None

    @field_validator("windows_days")
    @classmethod
    def check_windows(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        if list(windows) != sorted(set(windows)):
            raise ValueError(f"windows_days must rise, got {list(windows)}")
        if 28 not in windows:
            raise ValueError(f"windows_days must hold 28, for popularity and prices, got {windows}")
        return windows

    @model_validator(mode="after")
    def check_co_purchases(self) -> Self:
        if self.co_purchases and self.co_purchases.recent(self.declared) is None:
            events = list(self.co_purchases.events)
            raise ValueError(f"co_purchases need a declared last_n of user, `of: item`, over events {events}")
        return self


class CandidatesConfig(StrictModel):
    """Quota of each channel per user; items sold in lines of more than `max_line_quantity` are left out.

    `acted_on`: those with declared features of user_item, the newest events first. Items are popular by what
    is sold, or by `popular_by`, a declared feature of items; a user's favourite categories are those bought
    from, or by `favourite_by`, one of user_category. `exclude_known`: no item that a user has features with.
    """

    bought_before: PositiveInt
    acted_on: NonNegativeInt = 0
    popular_by: str | None = None
    favourite_by: str | None = None
    exclude_known: bool = False
    popular: PositiveInt
    popular_departments: PositiveInt
    popular_per_department: PositiveInt
    popular_types: PositiveInt
    popular_per_type: PositiveInt
    on_promotion: PositiveInt
    min_promotion_share: Rate
    max_line_quantity: PositiveInt


class ReasonsConfig(StrictModel):
    """Each row on a shelf tells the `per_row` fields that moved its score of `task` most."""

    task: str
    per_row: PositiveInt = 3


class RecommendConfig(StrictModel):
    """Utility = sum over tasks of weight x prediction; then the rules.

    `shown_at_hour` is the hour of the day for which a model that reads anchor_hour predicts.
    Users are scored in `user_parts` parts, each the work of one task: more of them where a part is too large.
    """

    surface: str
    shown_at_hour: Annotated[int, Field(ge=0, le=23)] | None = None
    user_parts: PositiveInt = 8
    items_per_user: PositiveInt
    utility: dict[str, float]
    max_per_category: PositiveInt
    coupons_per_user: PositiveInt
    complements_per_item: PositiveInt
    min_baskets_together: PositiveInt
    reasons: ReasonsConfig | None = None


class ScenarioConfig(StrictModel):
    name: str
    logs: LogsConfig
    features: FeaturesConfig
    candidates: CandidatesConfig
    examples: ExamplesConfig
    model: ModelConfig
    learn: LearnConfig
    recommend: RecommendConfig
    publish: PublishConfig

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"a scenario's name is up to 60 lower-case letters, digits and _, got {name!r}")
        return name

    @model_validator(mode="after")
    def check_tasks(self) -> Self:
        tasks = {task.name for task in self.model.tasks}
        named = {*self.recommend.utility, self.learn.promotion.task}
        if self.recommend.reasons:
            named.add(self.recommend.reasons.task)
        if unknown := sorted(named - tasks):
            raise ValueError(
                "recommend.utility, recommend.reasons and learn.promotion.task name unknown tasks "
                f"{unknown}: {sorted(tasks)}"
            )
        calibrated = [task.name for task in self.model.tasks if task.calibration]
        days = self.learn.calibration_days
        if bool(calibrated) != bool(days):
            raise ValueError(
                f"learn.calibration_days ({days}) are for tasks with a calibration: {calibrated}"
            )
        if self.learn.validation_days + days >= 7 * self.examples.training_weeks:
            raise ValueError("learn.validation_days leave no days to train on: raise examples.training_weeks")
        return self

    @model_validator(mode="after")
    def check_event_types(self) -> Self:
        """A type that no log has is a misspelled one."""
        examples, features = self.examples, self.features
        over = [feature.events + (feature.per or ()) + (feature.since or ()) for feature in features.declared]
        over += [features.co_purchases.events] if features.co_purchases else []
        over += [tuple(examples.label_events), (examples.anchor,) if examples.has_anchor_events else ()]
        known = {*EVENT_TYPES, *self.logs.event_types}
        if unknown := sorted({name for names in over for name in names} - known):
            raise ValueError(f"features and examples name unknown event types {unknown}: {sorted(known)}")
        return self

    @model_validator(mode="after")
    def check_hour(self) -> Self:
        if ("anchor_hour" in self.model.columns) != (self.recommend.shown_at_hour is not None):
            raise ValueError("the field anchor_hour and recommend.shown_at_hour belong together")
        return self

    @model_validator(mode="after")
    def check_declared(self) -> Self:
        of_pairs = any(feature.entity == "user_item" for feature in self.features.declared)
        if of_pairs != (self.candidates.acted_on > 0):
            raise ValueError("declared features of user_item and candidates.acted_on belong together")
        return self

    @model_validator(mode="after")
    def check_contexts(self) -> Self:
        of_contexts = any(feature.entity == "context" for feature in self.features.declared)
        if of_contexts and not self.examples.has_anchor_events:
            raise ValueError("features of context are of the place of an anchor event: set examples.anchor")
        return self

    @model_validator(mode="after")
    def check_undated(self) -> Self:
        """A log without times has one day: what is known before it is nothing, and folds judge."""
        logs, learn = self.logs, self.learn
        if logs.is_undated != (self.examples.folds is not None):
            raise ValueError("examples.folds are for logs without times (event_time.day), which need them")
        if not logs.is_undated:
            return self
        if logs.first_day != logs.last_day:
            raise ValueError("a log without times has one day: first_day and last_day are that of event_time")
        if not self.examples.has_anchor_events:
            raise ValueError("a log without times has no user-days: set examples.anchor to an event type")
        if learn.calibration_days or learn.warm_start:
            raise ValueError("a log without times has no days for calibration_days or warm_start")
        return self

    @property
    def interest_task(self) -> str | None:
        """The task of users' interests in categories, if there is one."""
        return next((task.name for task in self.model.tasks if task.label == INTEREST_LABEL), None)

    def digest(self, *sections: str) -> str:
        """Changes whenever a setting of `sections` does: tables that rest on them are then rebuilt."""
        content = self.model_dump(mode="json", include=set(sections))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class RuntimeConfig(StrictModel):
    """Where things run (conf/local.yaml); no setting here changes what a table holds."""

    master: str
    driver_memory: str
    shuffle_partitions: PositiveInt
    spark_settings: dict[str, str] = Field(default_factory=dict)
    catalog: dict[str, str] = Field(default_factory=dict)
    torchrun_arguments: tuple[str, ...] = ()
    min_free_disk_gib: PositiveFloat = 5.0


def load_scenario(name_or_path: str) -> ScenarioConfig:
    """Loads conf/<name>.yaml, or the YAML file at a path.

    Raises:
        ConfigError: if there is no such scenario, or with every error in it.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = CONF_FOLDER / f"{name_or_path}.yaml"
        known = sorted(file.stem for file in CONF_FOLDER.glob("*.yaml") if file.stem != "local")
        if name_or_path not in known:
            raise ConfigError([f"there is no scenario {name_or_path!r}: conf/ has {', '.join(known)}"])
    return _load(path, ScenarioConfig)


def load_runtime() -> RuntimeConfig:
    """Loads conf/local.yaml, or the file that $NIGHTSHELF_RUNTIME names (a cluster's)."""
    return _load(Path(os.environ.get("NIGHTSHELF_RUNTIME") or CONF_FOLDER / "local.yaml"), RuntimeConfig)


def _load(path: Path, model: type[Model]) -> Model:
    if not path.is_file():
        raise ConfigError([f"{path}: no such file"])
    text = path.read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)
        root = yaml.compose(text)
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(content, dict):
        raise ConfigError([f"{path}: expected keys and values, found {type(content).__name__}"])
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError([_problem(path, root, problem, model) for problem in error.errors()]) from error


def _problem(path: Path, root: yaml.Node | None, problem: Any, model: type[BaseModel]) -> str:
    """One line: file:line, the key, what is wrong, and for an unknown key the nearest valid one."""
    keys = [key for key in problem["loc"] if not _is_union_tag(key, problem["loc"], root)]
    line, siblings = _locate(root, keys)
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        valid = sorted(_valid_keys(model) - siblings)
        nearest = difflib.get_close_matches(str(keys[-1]), valid, n=1, cutoff=0.5)
        message = "unknown key" + (f": did you mean {nearest[0]!r}?" if nearest else "")
    elif problem["type"] != "missing" and not isinstance(problem["input"], dict | list):
        message += f", got {problem['input']!r}"
    return f"{path}:{line}: {'.'.join(map(str, keys)) or 'file'}: {message}"


def _is_union_tag(key: str | int, location: tuple[str | int, ...], root: yaml.Node | None) -> bool:
    """Pydantic names the chosen member of a union inside the location: it is no key of the file."""
    index = location.index(key)
    parent = _node(root, list(location[:index]))
    return (
        isinstance(key, str)
        and isinstance(parent, yaml.MappingNode)
        and index + 1 < len(location)
        and key not in {entry.value for entry, _ in parent.value}
    )


def _node(root: yaml.Node | None, keys: list[str | int]) -> yaml.Node | None:
    node = root
    for key in keys:
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
        elif isinstance(node, yaml.MappingNode):
            node = next((value for entry, value in node.value if entry.value == key), node)
    return node


def _locate(root: yaml.Node | None, keys: list[str | int]) -> tuple[int, set[str]]:
    """The line of a key (of its parent where the key is missing) and the keys beside it."""
    parent = _node(root, keys[:-1])
    line = parent.start_mark.line + 1 if parent else 1
    if isinstance(parent, yaml.MappingNode):
        entries = {entry.value: entry.start_mark.line + 1 for entry, _ in parent.value}
        return entries.get(keys[-1] if keys else None, line), set(entries)
    return line, set()


def _valid_keys(model: type[BaseModel]) -> set[str]:
    """All keys that any part of the schema knows."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {key for part in parts for key in part.get("properties", {})}
