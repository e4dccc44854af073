"""Settings: every key of memloop.toml, what it defaults to, and a fix for everything that can be written wrong."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from memloop_assets.errors import BadSettings
from memloop_assets.settings import (
    ArmPrice,
    DatasetSettings,
    LogSettings,
    SensorSettings,
    Settings,
    build_section,
    config_hash,
    find_home,
    load_settings,
    write_first_week,
)
from memloop_assets.weeks import IsoWeek

EVERY_KEY = """
data_home = "elsewhere"
first_week = "2026-W05"

[logs]
folders = ["in", "/var/log/agent"]
timezone = "Europe/Berlin"
silence_gap_minutes = 10
id_silence_days = 2.5

[datasets]
retention_weeks = 8

[sensor]
runs_per_tick = 2
files_per_tick = 9
megabytes_per_tick = 1

[arms."gpt-4.1"]
kind = "model"
usd_per_million_input_tokens = 2
usd_per_million_output_tokens = 8.0

[arms.search]
kind = "tool"
usd_per_call = 0

[routing]
delta = 0.05

[promotion]
lambda_ = 0.2
"""


@dataclass(frozen=True)
class Thresholds:
    """A room's own settings, as a room would declare them."""

    delta: float = 0.02
    minimum: int = 5
    label: str | None = None
    is_strict: bool = True
    names: tuple[str, ...] = field(default=())


def load(home: Path, toml: str = "", **environment: str) -> Settings:
    (home / "memloop.toml").write_text(toml, encoding="utf-8")
    return load_settings(home, environment)


def refused(home: Path, toml: str) -> str:
    with pytest.raises(BadSettings) as caught:
        load(home, toml)
    return str(caught.value)


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert settings == Settings(
        home=tmp_path, data_home="data", first_week=None, logs=LogSettings(), datasets=DatasetSettings()
    )
    assert settings.logs == LogSettings(("logs",), "UTC", 5.0, 7.0)
    assert settings.datasets.retention_weeks == 26
    assert settings.places.data == tmp_path / "data"
    assert settings.log_folders == (tmp_path / "logs",)
    assert load(tmp_path, "") == settings


def test_every_key_is_read(tmp_path: Path) -> None:
    settings = load(tmp_path, EVERY_KEY)
    assert settings.places.data == tmp_path / "elsewhere"
    assert settings.first_week == IsoWeek(2026, 5)
    assert settings.logs == LogSettings(("in", "/var/log/agent"), "Europe/Berlin", 10.0, 2.5)
    assert settings.log_folders == (tmp_path / "in", Path("/var/log/agent"))
    assert settings.datasets == DatasetSettings(8)
    assert settings.sensor == SensorSettings(2, 9, 1)
    assert settings.arms == {"gpt-4.1": ArmPrice("model", None, 2.0, 8.0), "search": ArmPrice("tool", 0.0)}
    assert settings.section("routing", Thresholds) == Thresholds(delta=0.05)
    assert settings.rooms["promotion"] == {"lambda_": 0.2}


def test_the_printed_settings_hold_every_key_and_no_path_of_this_machine(tmp_path: Path) -> None:
    settings = load(tmp_path, EVERY_KEY)
    plain = settings.as_dict()
    sections = {"logs", "datasets", "sensor", "arms", "redaction", "routing", "promotion"}
    assert set(plain) == {"data_home", "first_week", *sections}
    assert plain["first_week"] == "2026-W05"
    assert plain["routing"] == {"delta": 0.05}
    assert str(tmp_path) not in str(plain)


def test_the_first_week_of_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, EVERY_KEY, MEMLOOP_FIRST_WEEK="2025-W40").first_week == IsoWeek(2025, 40)
    assert load(tmp_path, "", MEMLOOP_FIRST_WEEK="2025-W40").first_week == IsoWeek(2025, 40)
    assert load(tmp_path, EVERY_KEY, MEMLOOP_FIRST_WEEK="").first_week == IsoWeek(2026, 5)


def test_a_first_week_that_is_none_names_the_place_where_it_was_written(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"^MEMLOOP_FIRST_WEEK: 'soon' is not an ISO week. Fix: write it like"):
        load(tmp_path, EVERY_KEY, MEMLOOP_FIRST_WEEK="soon")
    for written in ('"W5"', '""', '"2026-W05-3"', '"2025-W53"'):
        assert refused(tmp_path, f"first_week = {written}").startswith("memloop.toml first_week: ")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("frist_week = '2026-W05'", "memloop.toml: key 'frist_week' is not known. Fix: did you mean 'first_week'?"),
        ("[log]\nfolders = []", "memloop.toml: key 'log' is not known. Fix: did you mean 'logs'?"),
        ("[logs]\nfolder = ['in']", "[logs]: key 'folder' is not known. Fix: did you mean 'folders'?"),
        ("[datasets]\nretention = 3", "[datasets]: key 'retention' is not known. Fix: did you mean 'retention_weeks'?"),
        ("[arms.x]\nusd_per_cal = 3", "[arms.x]: key 'usd_per_cal' is not known. Fix: did you mean 'usd_per_call'?"),
        ("zzz = 1", "memloop.toml: key 'zzz' is not known. Fix: known are arms, data_home, datasets, first_week"),
    ],
)
def test_an_unknown_key_is_refused_with_its_nearest_neighbour(tmp_path: Path, toml: str, message: str) -> None:
    assert refused(tmp_path, toml).startswith(message)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("data_home = ''", "data_home is empty"),
        ("data_home = 3", "data_home = 3 is not a text in quotes"),
        ("first_week = 2026", "first_week = 2026 is not a text in quotes"),
        ("first_week = 2026-01-05", "is not a text in quotes"),
        ("logs = 'in'", "'logs' is not a section. Fix: write it as [logs]"),
        ("routing = 3", "'routing' is not a section. Fix: write it as [routing]"),
        ("arms = ['x']", "'arms' is not a section"),
        ("[arms]\nx = 3", "[arms.x]: 3 is not a section"),
        ("[logs]\nfolders = 'in'", "folders = 'in' is not a list of texts"),
        ("[logs]\nfolders = ['in', 3]", "folders = ['in', 3] is not a list of texts"),
        ("[logs]\ntimezone = 1", "timezone = 1 is not a text in quotes"),
        ("[logs]\nsilence_gap_minutes = '5'", "silence_gap_minutes = '5' is not a number"),
        ("[logs]\nsilence_gap_minutes = true", "silence_gap_minutes = True is not a number"),
        ("[logs]\nsilence_gap_minutes = nan", "silence_gap_minutes = nan is not a number"),
        ("[logs]\nsilence_gap_minutes = inf", "silence_gap_minutes = inf is not a number"),
        (f"[logs]\nsilence_gap_minutes = 1{'0' * 400}", "is not a number"),
        ("[datasets]\nretention_weeks = 2.0", "retention_weeks = 2.0 is not a whole number"),
        ("[datasets]\nretention_weeks = true", "retention_weeks = True is not a whole number"),
        ("[arms.x]\nusd_per_call = 'free'", "usd_per_call = 'free' is not a number"),
        ("[arms.x]\nusd_per_call = false", "usd_per_call = False is not a number"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, toml: str, message: str) -> None:
    assert message in refused(tmp_path, toml)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[logs]\ntimezone = 'Berlin'", "'Berlin' is not known. Fix: use an IANA name such as Europe/Berlin"),
        ("[logs]\ntimezone = '../etc/passwd'", "is not known"),
        ("[logs]\nsilence_gap_minutes = 0", "0.0 is out of bounds. Fix: use a value from 0.001 to 1440"),
        ("[logs]\nsilence_gap_minutes = -5", "out of bounds"),
        ("[logs]\nsilence_gap_minutes = 1440.1", "out of bounds"),
        ("[logs]\nid_silence_days = 0", "[logs] id_silence_days: 0.0 is out of bounds"),
        ("[logs]\nid_silence_days = 7.5", "use a value from 0.001 to 7"),
        ("[datasets]\nretention_weeks = 0", "[datasets] retention_weeks: 0 is out of bounds. Fix: use a value from 1"),
        ("[datasets]\nretention_weeks = 1041", "use a value from 1 to 1040"),
        ("[arms.x]\nusd_per_call = -0.1", "[arms.x]: a price is below zero. Fix: use 0 for an arm that is free"),
        (
            "[arms.x]\nusd_per_million_input_tokens = -1\nusd_per_million_output_tokens = 1",
            "[arms.x]: a price is below zero",
        ),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(tmp_path: Path, toml: str, message: str) -> None:
    assert message in refused(tmp_path, toml)


def test_an_arm_is_priced_by_call_or_two_prices_but_not_by_both_or_half(tmp_path: Path) -> None:
    two_prices = "usd_per_million_input_tokens = 2\nusd_per_million_output_tokens = 8\n"
    assert "keep one of the two" in refused(tmp_path, f"[arms.x]\nusd_per_call = 1\n{two_prices}")
    for line in two_prices.splitlines():
        assert "give input and output prices" in refused(tmp_path, f"[arms.x]\n{line}")


def test_a_dot_in_an_arms_name_is_met_with_quotes_in_the_fix(tmp_path: Path) -> None:
    assert refused(tmp_path, "[arms.gpt-4.1]\nusd_per_call = 1").endswith(
        "[arms.gpt-4]: it holds a section '1'. Fix: quote a name with a dot: [arms.\"gpt-4.1\"]"
    )


def test_a_call_costs_its_price_or_its_tokens_or_is_not_known() -> None:
    per_call = ArmPrice(usd_per_call=0.25)
    per_token = ArmPrice(usd_per_million_input_tokens=2, usd_per_million_output_tokens=8)
    assert per_call.cost_usd(None, None) == per_call.cost_usd(10, 10) == 0.25
    assert ArmPrice(usd_per_call=0.0).cost_usd(1, 1) == 0.0
    assert per_token.cost_usd(500_000, 250_000) == 3.0
    assert per_token.cost_usd(0, 0) == 0.0
    assert per_token.cost_usd(None, 5) is None
    assert per_token.cost_usd(5, None) is None
    assert ArmPrice().cost_usd(5, 5) is None


@pytest.mark.parametrize(
    "content", [b"first_week = ", b"\xff\xfe", b"[logs]\n[logs]\n", b"first_week = '2026-W05'\nfirst_week = '2026-W06'"]
)
def test_a_file_that_is_no_toml_is_refused_with_its_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "memloop.toml").write_bytes(content)
    with pytest.raises(BadSettings, match=r"^memloop.toml: it cannot be read \(.+\). Fix: mend the TOML"):
        load_settings(tmp_path, {})


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memloop.toml").mkdir()
    with pytest.raises(BadSettings, match="cannot be read"):
        load_settings(tmp_path, {})


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "memloop.toml").write_bytes(b"\xef\xbb\xbf" + EVERY_KEY.replace("\n", "\r\n").encode())
    assert load_settings(tmp_path, {}).datasets.retention_weeks == 8


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_first_week_is_written_once_and_every_other_byte_stays(tmp_path: Path, line_end: str) -> None:
    toml = tmp_path / "memloop.toml"
    before = "# mine: ü\n\n[logs]\n  folders = [ 'in' ] # here\n[arms.x]\nusd_per_call = 1".replace("\n", line_end)
    toml.write_bytes(before.encode())
    write_first_week(tmp_path, IsoWeek(2026, 7))
    assert toml.read_bytes() == f'first_week = "2026-W07"{line_end}{before}'.encode()
    assert load_settings(tmp_path, {}).first_week == IsoWeek(2026, 7)
    write_first_week(tmp_path, IsoWeek(2026, 3))
    assert load_settings(tmp_path, {}).first_week == IsoWeek(2026, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["memloop.toml"]


def test_the_first_week_is_written_into_a_new_file_and_behind_no_byte_order_mark(tmp_path: Path) -> None:
    write_first_week(tmp_path, IsoWeek(2026, 7))
    assert load_settings(tmp_path, {}) == Settings(home=tmp_path, first_week=IsoWeek(2026, 7))
    (tmp_path / "memloop.toml").write_bytes(b"\xef\xbb\xbf[datasets]\nretention_weeks = 3\n")
    write_first_week(tmp_path, IsoWeek(2026, 8))
    settings = load_settings(tmp_path, {})
    assert (settings.first_week, settings.datasets.retention_weeks) == (IsoWeek(2026, 8), 3)


def test_a_room_builds_its_own_settings_from_its_section(tmp_path: Path) -> None:
    toml = "[routing]\ndelta = 1\nminimum = 7\nlabel = 'x'\nis_strict = false\nnames = ['a', 'b']"
    built = load(tmp_path, toml).section("routing", Thresholds)
    assert built == Thresholds(1.0, 7, "x", is_strict=False, names=("a", "b"))
    assert isinstance(built.delta, float)
    assert load(tmp_path, toml).section("promotion", Thresholds) == Thresholds()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dleta": 1}, r"\[room\]: key 'dleta' is not known. Fix: did you mean 'delta'"),
        ({"delta": "1"}, "delta = '1' is not a number. Fix: give delta a number"),
        ({"minimum": 1.5}, "is not a whole number"),
        ({"minimum": True}, "is not a whole number"),
        ({"label": 3}, "label = 3 is not a text in quotes"),
        ({"is_strict": 1}, "is_strict = 1 is not true or false"),
        ([1], r"\[1\] is not a section"),
    ],
)
def test_a_rooms_section_is_checked_like_any_other(values: object, message: str) -> None:
    with pytest.raises(BadSettings, match=message):
        build_section("[room]", Thresholds, values)


def test_the_home_is_the_current_folder_unless_the_environment_names_one(tmp_path: Path) -> None:
    assert find_home({}, tmp_path) == tmp_path
    assert find_home({"MEMLOOP_HOME": ""}, tmp_path) == tmp_path
    assert find_home({"MEMLOOP_HOME": str(tmp_path / "there")}, tmp_path) == tmp_path / "there"


def test_the_hash_of_settings_depends_on_values_alone() -> None:
    assert config_hash(Thresholds()) == config_hash(Thresholds(names=())) == config_hash({**vars(Thresholds())})
    assert config_hash({"b": 1, "a": 2}) == config_hash({"a": 2, "b": 1})
    assert len({config_hash(), config_hash(Thresholds()), config_hash(Thresholds(delta=0.03)), config_hash(1, 2)}) == 4
