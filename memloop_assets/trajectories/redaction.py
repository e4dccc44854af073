"""Redaction: secrets and personal data become typed placeholders before anything but the landed bytes is stored.

What counts as a secret is said in ``secret_rules``; here is where it is looked for (every key and value of a line, JSON inside strings
included) and what stands in its place: ``<EMAIL_1>``, the same for the same value within one redactor, which serves one conversation.
Pure: nothing here knows files, tables or settings other than ``RedactionSettings``.
"""

import dataclasses
import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson

from memloop_assets.errors import BadSettings, InputFailed, MemloopError
from memloop_assets.trajectories.formats.reader import Event, Rejected, depth_of
from memloop_assets.trajectories.secret_gates import gates_of_all, open_gates
from memloop_assets.trajectories.secret_rules import RULES, Gate, Rule, is_card, is_password, is_phone
from memloop_assets.trajectories.trajectory import Trajectory, chat_role, text_of

_DEEPEST_INNER = 60  # levels of JSON inside strings, all taken together; what is deeper is redacted as text
_FIELDS = ("payload", "extra", "session_id", "task_id", "user_id", "decision_id")
_PLACEHOLDER = re.compile(r"<[A-Z]+(?:_[A-Z]+)*_\d+>")
_LIKE_PLACEHOLDER = re.compile(r"[A-Z_]+\d*")
_SHORTEST_SWEPT = 8
_ESCAPED = re.compile(r"\\u00([2-7][0-9a-fA-F])")
_SECRET_NAME = re.compile(
    r"(?:apikey|secret|secretkey|secretaccesskey|accesskey|token|credentials?|privatekey|authorization|authkey|signingkey|encryptionkey)$"
)
_PASSWORD_NAME = re.compile(
    r"(?:password|passwd|passphrase|pwd|passwort|^pass|(?:db|user|root|admin|smtp|mysql|ftp|login)pass)$"
)
_PHONE_NAME = re.compile(
    r"(?:phone|phonenumber|mobile|mobilenumber|cellphone|callbacknumber|telephone|^tel|fax|whatsapp|msisdn)$"
)
_NAME = re.compile(r"-{0,2}[A-Za-z][\w-]{0,60}:?")
_NAME_FIELDS = ("name", "Name", "key", "Key", "header")
_VALUE_FIELDS = ("value", "Value")


@dataclass(frozen=True, slots=True)
class RedactionSettings:
    """Section ``[redaction]``: the rules that are switched off, by name; all are on by default."""

    off: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse the name of a rule that there is not; raises BadSettings."""
        known = [rule.name for rule in RULES]
        for name in self.off:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                fix = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise BadSettings("[redaction] off", f"there is no rule {name!r}", fix)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rules that are on, in their order."""
        return tuple(rule for rule in RULES if rule.name not in self.off)


class Redactor:
    """Puts placeholders in place of secrets, the same for the same value; one redactor serves one conversation."""

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        """Keep the rules; nothing has been found yet."""
        self._rules = rules
        self._by_name = {rule.name: rule for rule in rules}
        self._given: dict[tuple[str, str], str] = {}
        self._last: Counter[str] = Counter()
        self._levels = 0
        self._taken: set[str] = set()
        self.known: dict[str, str] = {}
        """Secrets that only their surroundings gave away, with their placeholders."""
        self.counts: Counter[str] = Counter()
        """How many finds each rule has replaced."""

    def reserve(self, text: str) -> None:
        """Keep placeholders that a text holds already from being given to another value."""
        self._taken.update(_PLACEHOLDER.findall(text))

    def redact(self, value: Any, gates: Iterable[Gate] | None = None) -> Any:
        """Return a JSON value with every find replaced; the value itself where there is none.

        ``gates`` are those that it passes, where they are known.
        """
        rules = self._behind(open_gates(orjson.dumps(value)) if gates is None else gates)
        if not rules:
            return value
        redacted = self._walk(value, rules)
        while self.known and (swept := self.sweep(redacted)) != redacted:
            redacted = self._walk(swept, rules)
        return redacted

    def redact_text(self, text: str) -> str:
        """Return text with every find replaced."""
        rules = self._behind(open_gates(text.encode("utf-8", "surrogatepass")))
        text = self._text(text, rules) if rules else text
        while self.known and (swept := self._sweep_text(text)) != text:
            text = self._text(swept, rules)
        return text

    def sweep(self, value: Any) -> Any:
        """Return a JSON value without the secrets that only their surroundings gave away: they are one wherever they are said again."""
        if isinstance(value, str):
            return self._sweep_text(value)
        if isinstance(value, dict):
            swept = {key: self._sweep_text(key) for key in value}
            names = swept if len(set(swept.values())) == len(value) else dict(zip(value, value, strict=True))
            return {names[key]: self.sweep(inner) for key, inner in value.items()}
        return [self.sweep(item) for item in value] if isinstance(value, list) else value

    def _sweep_text(self, text: str) -> str:
        for secret, placeholder in self.known.items():
            if secret in text:
                self.counts["assignment"] += text.count(secret)
                text = text.replace(secret, placeholder)
        return text

    @property
    def replaced(self) -> Mapping[str, str]:
        """Return the placeholder of each value that was found."""
        return {value: placeholder for (_, value), placeholder in self._given.items()}

    def _behind(self, gates: Iterable[Gate]) -> tuple[Rule, ...]:
        return tuple(rule for rule in self._rules if rule.gate in gates)

    def _walk(self, value: Any, rules: Sequence[Rule], name: str = "") -> Any:
        if isinstance(value, str):
            return self._named(value, rules, name) if len(value) > 3 else value
        if isinstance(value, dict):
            return self._walk_object(value, rules)
        if isinstance(value, list):
            names = [name] + [_name_in(item) or name for item in value[:-1]]
            return [self._walk(item, rules, told) for item, told in zip(value, names, strict=False)]
        if isinstance(value, int) and not isinstance(value, bool) and value > 10**6:
            return self._number(value, name)
        return value

    def _number(self, value: int, name: str) -> Any:
        """Redact a whole number: a card's, or a telephone's in a field named for one."""
        card, phone = self._by_name.get("card"), self._by_name.get("phone")
        if card and is_card(str(value)):
            return self._placeholder(card, str(value))
        return (
            self._placeholder(phone, str(value))
            if phone and kind_of_name(name) == "phone" and value < 10**15
            else value
        )

    def _walk_object(self, value: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, Any]:
        redacted: dict[str, Any] = {}
        is_pair = "value" in value or "Value" in value
        pair = next((name for field in _NAME_FIELDS if (name := _name_in(value.get(field)))), "") if is_pair else ""
        for key, inner in value.items():
            name = self._text(key, rules) if len(key) > 5 else key
            while name in redacted:
                name += "'"  # two spellings of one address: neither field may be lost
            redacted[name] = self._walk(inner, rules, pair if pair and key in _VALUE_FIELDS else key)
        return redacted

    def _named(self, text: str, rules: Sequence[Rule], name: str) -> str:
        """Redact the text that stands under a name: a name such as ``password`` makes a secret of what text alone would not."""
        redacted = self._text(text, rules)
        kind = kind_of_name(name) if name else ""
        rule = self._by_name.get(kind)
        if rule is None or _PLACEHOLDER.fullmatch(redacted) or "<" in text:
            return redacted
        is_found = is_phone(text) if kind == "phone" else _is_named_secret(text, name)
        return self._placeholder(rule, text) if is_found else redacted

    def _text(self, text: str, rules: Sequence[Rule]) -> str:
        """Replace until nothing is found any more, so that to redact again changes nothing."""
        while (after := self._once(text, rules)) != text:
            text = after
        return text

    def _once(self, text: str, rules: Sequence[Rule]) -> str:
        among = {rule.gate for rule in rules}
        gates = open_gates(text.encode("utf-8", "surrogatepass"), among)
        if not gates:
            return text
        if text[0] in '{["' and (inner := self._inner_json(text, rules)) is not None:
            return inner
        for rule in rules:
            if rule.gate in gates:
                text = self._replace(text, rule)
        return text

    def _inner_json(self, text: str, rules: Sequence[Rule]) -> str | None:
        """Return JSON inside a string redacted as JSON, so that it stays valid; None where it is none."""
        before = self._levels
        try:
            self._levels += depth_of(orjson.loads(text)) + 1
            if self._levels > _DEEPEST_INNER:
                return None
            value = json.loads(text)
            redacted = self._walk(value, rules)
            return text if redacted == value else json.dumps(redacted, ensure_ascii=False, allow_nan=False)
        except ValueError:
            return None
        finally:
            self._levels = before

    def _replace(self, text: str, rule: Rule) -> str:
        pieces, last = [], 0
        for start, end in rule.find(text):
            pieces += [text[last:start], self._placeholder(rule, text[start:end])]
            last = end
        return "".join([*pieces, text[last:]]) if last else text

    def _placeholder(self, rule: Rule, value: str) -> str:
        self.counts[rule.name] += 1
        key = (rule.label, _same(rule.name, value))
        if key not in self._given:
            self._last[rule.label] += 1
            while (found := f"<{rule.label}_{self._last[rule.label]}>") in self._taken:
                self._last[rule.label] += 1
            self._given[key] = found
            if rule.name == "assignment" and len(value) >= _SHORTEST_SWEPT and not _LIKE_PLACEHOLDER.fullmatch(value):
                self.known[value] = found
        return self._given[key]


@lru_cache(maxsize=4096)
def kind_of_name(name: str) -> str:
    """Return the rule that the name of a field calls for: assignment, phone, or none."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    if _PHONE_NAME.search(plain):
        return "phone"
    is_secret = _SECRET_NAME.search(plain) or _PASSWORD_NAME.search(plain)
    return "assignment" if is_secret and "page" not in plain else ""


def _name_in(item: object) -> str:
    """Return the name that an item of a list, or the field beside a field `value`, gives to what follows; empty for any other."""
    is_name = isinstance(item, str) and _NAME.fullmatch(item) and kind_of_name(item)
    return str(item) if is_name else ""


def redact_attempts(
    attempts: Sequence[Sequence[Event]], rules: Sequence[Rule]
) -> Iterator[tuple[Sequence[Event], Counter[str]]]:
    """Yield the events of each attempt redacted in every field, and the finds by rule; those of a clean one are the same objects.

    All attempts are looked at together, which is what makes clean ones cheap.
    """
    if not rules:
        yield from ((events, Counter()) for events in attempts)
        return
    suspects = gates_of_all([orjson.dumps([_looked_at(event) for event in events]) for events in attempts])
    dumps = [orjson.dumps(_looked_at(event)) for place in suspects for event in attempts[place]]
    gates = gates_of_all(dumps)
    looks = ((dump, gates.get(place, set())) for place, dump in enumerate(dumps))
    for place, events in enumerate(attempts):
        is_suspect = place in suspects
        yield _redact_events(events, list(islice(looks, len(events))), rules) if is_suspect else (events, Counter())


def redact_trajectory(trajectory: Trajectory, rules: Sequence[Rule]) -> tuple[Trajectory, Counter[str]]:
    """Return a trajectory redacted in every field of its events, and the finds by rule."""
    ((events, found),) = redact_attempts([trajectory.events], rules)
    return (trajectory if events is trajectory.events else Trajectory(events, trajectory.origin)), found


def _redact_events(
    events: Sequence[Event], looks: Sequence[tuple[bytes, set[Gate]]], rules: Sequence[Rule]
) -> tuple[Sequence[Event], Counter[str]]:
    """Return an attempt's events redacted, and the finds by rule; ``looks`` holds what each says as JSON, and the gates that it passes.

    The task is read first, so that its placeholders, and with them its identity, do not depend on what was said before it.
    """
    redactor = Redactor(rules)
    for dump, _ in looks:
        if b"<" in dump:
            redactor.reserve(dump.decode())
    first = next((place for place, event in enumerate(events) if _is_task(event)), 0)
    logged = [_fields(event) for event in events]
    fields = list(logged)
    for place in (first, *(place for place in range(len(events)) if place != first)):
        if looks[place][1]:
            fields[place] = redactor.redact(fields[place], looks[place][1])
    while redactor.known and (swept := redactor.sweep(fields)) != fields:
        fields = [redactor.redact(field) for field in swept]
    if not redactor.counts:
        return events, Counter()
    redacted = [
        event if told is was else dataclasses.replace(event, **dict(zip(_FIELDS, told, strict=True)))
        for event, was, told in zip(events, logged, fields, strict=True)
    ]
    return redacted, redactor.counts


def redact_rejected(item: Rejected, rules: Sequence[Rule]) -> tuple[str, str, Counter[str]]:
    """Return a rejected line's text and reason redacted, and the finds by rule.

    JSON is redacted as JSON where it hides something that text does not show; a reason that quotes the line and was cut in the middle of a
    find loses that part too.
    """
    redactor = Redactor(rules)
    raw = item.raw.decode("utf-8", "backslashreplace")
    redactor.reserve(raw)
    text = redactor.redact_text(raw)
    plain = _ESCAPED.sub(lambda found: char if (char := chr(int(found[1], 16))) not in '"\\' else found[0], text)
    if plain != text and (unescaped := redactor.redact_text(plain)) != plain:
        text = unescaped
    counts = redactor.counts.copy()
    reason = item.reason
    for value, placeholder in redactor.replaced.items():
        reason = _without_part(reason.replace(value, placeholder), value, placeholder)
    return text, redactor.redact_text(reason), counts


def redact_error(error: MemloopError) -> MemloopError:
    """Return an error whose words hold no find of any rule: its text goes into metadata and files."""
    redactor = Redactor()
    told = type(error)(*(redactor.redact_text(fact) for fact in (error.thing, error.culprit, error.fix)))
    if isinstance(error, InputFailed) and isinstance(told, InputFailed):
        told.root = redactor.redact_text(error.root)
    return told


def _without_part(reason: str, value: str, placeholder: str) -> str:
    """Return a reason that does not end with the beginning of a value."""
    for length in range(min(len(value), len(reason)), 3, -1):
        if reason.endswith(value[:length]):
            return reason[:-length] + placeholder
    return reason


def _fields(event: Event) -> list[Any]:
    return [getattr(event, name) for name in _FIELDS]


def _looked_at(event: Event) -> list[Any]:
    """Return what of an event can hold a find: neither the names that memloop gives to what it knows, nor fractions."""
    known = [value for value in event.payload.values() if value is not None and value.__class__ is not float]
    return [known, event.extra or None, event.session_id, event.task_id, event.user_id, event.decision_id]


def _is_task(event: Event) -> bool:
    return (
        event.kind == "message"
        and chat_role(event.payload["role"]) == "user"
        and bool(text_of(event.payload["content"]))
    )


def _is_named_secret(text: str, name: str) -> bool:
    if _PASSWORD_NAME.search(re.sub(r"[^a-z]", "", name.lower())):
        return is_password(text)
    has_both = re.search(r"\d", text) and re.search(r"[A-Za-z]", text)
    return len(text) >= 8 and bool(has_both) and not re.search(r"\s", text)


def _same(rule: str, value: str) -> str:
    """Return what makes two finds of a rule the same value."""
    if rule == "email":
        return value.lower()
    return re.sub(r"[\s().\-/]", "", value) if rule in ("card", "iban", "phone") else value
