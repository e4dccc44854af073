"""Settings: what ``memloop.toml`` may say, its defaults, and where the home is.

The ground floor keeps names that every room needs. A room's own thresholds live in a frozen dataclass of that room; here its
TOML section is only carried, and ``Settings.section`` builds the dataclass from it with checked names and types.
"""

import dataclasses
import hashlib
import json
import sys
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from memloop_assets.errors import BadSettings, BadWeek, did_you_mean
from memloop_assets.paths import SETTINGS_FILE, Places
from memloop_assets.weeks import IsoWeek

T = typing.TypeVar("T")

DEFAULT_FIRST_WEEK = IsoWeek(2026, 2)
DEFAULT_DATA_HOME = "data"
ROOM_SECTIONS = ("redaction", "routing", "promotion")
_TYPE_NAMES: dict[typing.Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    bool: "true or false",
    tuple: "a list of texts",
}


@dataclass(frozen=True, slots=True)
class ArmPrice:
    """What one arm costs: a price per call in USD, or prices per million tokens in USD, or neither (then logged costs serve)."""

    kind: str = "model"
    usd_per_call: float | None = None
    usd_per_million_input_tokens: float | None = None
    usd_per_million_output_tokens: float | None = None

    def cost_usd(self, input_tokens: int | None, output_tokens: int | None) -> float | None:
        """Return the price of one call, from token counts where the arm is priced by tokens; None when it cannot be known."""
        if self.usd_per_call is not None:
            return self.usd_per_call
        if self.usd_per_million_input_tokens is None or input_tokens is None:
            return None
        if self.usd_per_million_output_tokens is None or output_tokens is None:
            return None
        dollars = input_tokens * self.usd_per_million_input_tokens + output_tokens * self.usd_per_million_output_tokens
        return dollars / 1_000_000


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Section ``[logs]``: where logs are, and how they are read and cut."""

    folders: tuple[str, ...] = ("logs",)
    timezone: str = "UTC"
    silence_gap_minutes: float = 5.0
    id_silence_days: float = 7.0

    def __post_init__(self) -> None:
        """Refuse an unknown time zone and gaps that cut nothing or everything."""
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise BadSettings(
                "[logs] timezone", f"{self.timezone!r} is not known", "use an IANA name such as Europe/Berlin"
            ) from None
        _require("[logs] silence_gap_minutes", self.silence_gap_minutes, 0.001, 24 * 60)
        _require("[logs] id_silence_days", self.id_silence_days, 0.001, 7)


@dataclass(frozen=True, slots=True)
class DatasetSettings:
    """Section ``[datasets]``: how long examples are kept in the training window, and which answers make a pair, what examples weigh."""

    retention_weeks: int = 26
    preference_margin: float = 0.3
    preference_pairs_per_task: int = 4
    age_half_life_weeks: float | None = None
    difficulty_strength: float = 0.0
    sft_quality_floor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a window that holds nothing, and pairs of answers that are equally good."""
        _require("[datasets] retention_weeks", self.retention_weeks, 1, 1040)
        _require("[datasets] preference_margin", self.preference_margin, 0.01, 1)
        _require("[datasets] preference_pairs_per_task", self.preference_pairs_per_task, 1, 100)
        if self.age_half_life_weeks is not None:
            _require("[datasets] age_half_life_weeks", self.age_half_life_weeks, 0.1, 1040)
        _require("[datasets] difficulty_strength", self.difficulty_strength, 0, 10)
        _require("[datasets] sft_quality_floor", self.sft_quality_floor, 0, 1)


@dataclass(frozen=True, slots=True)
class SensorSettings:
    """Section ``[sensor]``: how much one tick of the sensor ``new_log_lines`` may do; the next tick goes on."""

    runs_per_tick: int = 5
    files_per_tick: int = 500
    megabytes_per_tick: int = 64

    def __post_init__(self) -> None:
        """Refuse a tick that does nothing, and one that outlasts the time that Dagster gives it."""
        _require("[sensor] runs_per_tick", self.runs_per_tick, 1, 100)
        _require("[sensor] files_per_tick", self.files_per_tick, 1, 10_000)
        _require("[sensor] megabytes_per_tick", self.megabytes_per_tick, 1, 1024)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run reads from ``memloop.toml``; ``home`` is the folder that file lies in (or would lie in)."""

    home: Path
    data_home: str = DEFAULT_DATA_HOME
    first_week: IsoWeek | None = None
    logs: LogSettings = field(default_factory=LogSettings)
    datasets: DatasetSettings = field(default_factory=DatasetSettings)
    sensor: SensorSettings = field(default_factory=SensorSettings)
    arms: Mapping[str, ArmPrice] = field(default_factory=dict)
    rooms: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def places(self) -> Places:
        """Return the data home's folders."""
        return Places((self.home / self.data_home).resolve())

    @property
    def log_folders(self) -> tuple[Path, ...]:
        """Return the configured log folders, relative ones read from the home."""
        return tuple(self.home / folder for folder in self.logs.folders)

    def section(self, name: str, kind: type[T]) -> T:
        """Build a room's own settings dataclass from its TOML section; raises BadSettings for a name or type it lacks."""
        return build_section(f"[{name}]", kind, self.rooms.get(name, {}))

    def as_dict(self) -> dict[str, object]:
        """Return every value as plain JSON-ready data, for printing and hashing; holds no path of this machine."""
        return {
            "data_home": self.data_home,
            "first_week": str(self.first_week) if self.first_week else None,
            "logs": dataclasses.asdict(self.logs),
            "datasets": dataclasses.asdict(self.datasets),
            "sensor": dataclasses.asdict(self.sensor),
            "arms": {name: dataclasses.asdict(price) for name, price in sorted(self.arms.items())},
            **{name: dict(self.rooms.get(name, {})) for name in ROOM_SECTIONS},
        }


def config_hash(*parts: object) -> str:
    """Return a short hash of settings (dataclasses or plain data) as recorded in manifests."""
    plain = [dataclasses.asdict(p) if dataclasses.is_dataclass(p) and not isinstance(p, type) else p for p in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:16]


def load_settings(home: Path, environment: Mapping[str, str]) -> Settings:
    """Read ``memloop.toml`` of a home; a missing file means the defaults.

    ``MEMLOOP_FIRST_WEEK`` in the environment overrides ``first_week``. Raises BadSettings for anything misspelt or out of bounds.
    """
    path = home / SETTINGS_FILE
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadSettings(
            str(path.name), f"it cannot be read ({error})", "mend the TOML, or move the file away"
        ) from error
    known = {"data_home", "first_week", "logs", "datasets", "sensor", "arms", *ROOM_SECTIONS}
    _refuse_unknown(SETTINGS_FILE, raw, known)
    if raw.get("data_home") == "":
        raise BadSettings(SETTINGS_FILE, "data_home is empty", f"name a folder, as {DEFAULT_DATA_HOME!r}")
    for name in known - {"data_home", "first_week"}:
        if not isinstance(raw.get(name, {}), dict):
            raise BadSettings(SETTINGS_FILE, f"{name!r} is not a section", f"write it as [{name}]")
    return Settings(
        home=home,
        data_home=_typed(SETTINGS_FILE, "data_home", raw.get("data_home", DEFAULT_DATA_HOME), str),
        first_week=_first_week(environment.get("MEMLOOP_FIRST_WEEK"), raw.get("first_week")),
        logs=build_section("[logs]", LogSettings, raw.get("logs", {})),
        datasets=build_section("[datasets]", DatasetSettings, raw.get("datasets", {})),
        sensor=build_section("[sensor]", SensorSettings, raw.get("sensor", {})),
        arms={name: _arm_price(name, values) for name, values in raw.get("arms", {}).items()},
        rooms={name: raw[name] for name in ROOM_SECTIONS if name in raw},
    )


def find_home(environment: Mapping[str, str], current: Path) -> Path:
    """Return the home: ``MEMLOOP_HOME`` where it is set, otherwise the current folder."""
    return Path(environment.get("MEMLOOP_HOME") or current).expanduser().resolve()


def write_first_week(home: Path, week: IsoWeek) -> None:
    """Set ``first_week`` in ``memloop.toml`` where the file does not name one yet; other lines stay as they are."""
    path = home / SETTINGS_FILE
    before = path.read_bytes().decode("utf-8-sig") if path.exists() else ""
    if "first_week" in tomllib.loads(before):
        return
    line_end = "\r\n" if "\r\n" in before else "\n"
    new = path.with_suffix(".toml.new")
    new.write_bytes(f'first_week = "{week}"{line_end}{before}'.encode())
    new.replace(path)


def build_section(thing: str, kind: type[T], values: object) -> T:
    """Build a frozen dataclass from a TOML section, with names and types checked; raises BadSettings."""
    if not isinstance(values, dict):
        raise BadSettings(thing, f"{values!r} is not a section", f"write {thing} and its keys below it")
    hints = typing.get_type_hints(kind)
    names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]  # kind is a dataclass by contract
    _refuse_unknown(thing, values, names)
    return kind(**{name: _typed(thing, name, value, hints[name]) for name, value in values.items()})


def _refuse_unknown(thing: str, values: Mapping[str, object], known: set[str]) -> None:
    for name in values:
        if name not in known:
            fix = did_you_mean(name, sorted(known)) or f"known are {', '.join(sorted(known))}"
            raise BadSettings(thing, f"key {name!r} is not known", fix)


def _typed(thing: str, name: str, value: object, hint: object) -> typing.Any:
    """Return the value as its declared type (int passes for float, a list for a tuple); raises BadSettings otherwise."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) <= sys.float_info.max:
                return float(value)
        elif typing.get_origin(option) is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
            return tuple(value)
        elif isinstance(option, type) and isinstance(value, option) and not (option is int and isinstance(value, bool)):
            return value
    wanted = " or ".join(_TYPE_NAMES.get(typing.get_origin(o) or o, str(o)) for o in options if o is not type(None))
    raise BadSettings(thing, f"{name} = {value!r} is not {wanted}", f"give {name} {wanted}")


def _require(thing: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise BadSettings(thing, f"{value} is out of bounds", f"use a value from {lowest} to {highest}")


def _first_week(told: str | None, written: object) -> IsoWeek | None:
    """Return the week of the environment or else of the file; None where neither names one. Raises BadSettings."""
    if not told and written is None:
        return None
    thing = "MEMLOOP_FIRST_WEEK" if told else f"{SETTINGS_FILE} first_week"
    try:
        return IsoWeek.parse(told or _typed(SETTINGS_FILE, "first_week", written, str))
    except BadWeek as error:
        raise BadSettings(thing, error.culprit, error.fix) from error


def _arm_price(name: str, values: object) -> ArmPrice:
    thing = f"[arms.{name}]"
    if isinstance(values, dict) and (inner := next((k for k, v in values.items() if isinstance(v, dict)), None)):
        raise BadSettings(thing, f"it holds a section {inner!r}", f'quote a name with a dot: [arms."{name}.{inner}"]')
    price = build_section(thing, ArmPrice, values)
    by_token = (price.usd_per_million_input_tokens, price.usd_per_million_output_tokens)
    if any(value is not None and value < 0 for value in (price.usd_per_call, *by_token)):
        raise BadSettings(thing, "a price is below zero", "use 0 for an arm that is free")
    if price.usd_per_call is not None and any(value is not None for value in by_token):
        raise BadSettings(thing, "it has a price per call and a price per token", "keep one of the two")
    if (by_token[0] is None) != (by_token[1] is None):
        raise BadSettings(thing, "only one of the two token prices is given", "give input and output prices")
    return price
