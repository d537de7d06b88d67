"""The redactor: replaces secrets in packed values, texts and decoded trees."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from replaykit.errors import RedactionError
from replaykit.format.values import MAX_DEPTH, Marker, is_shallow, pack, pack_tree, unpack
from replaykit.redactors.model_tokens import is_model_token, without_their_names
from replaykit.redactors.pairs import is_secret_name
from replaykit.redactors.patterns import Pattern
from replaykit.redactors.quoted import Quoted
from replaykit.redactors.rules import CURRENT, KEY, RULES_OF
from replaykit.redactors.scanner import Loader, load_hyperscan, scanner_of
from replaykit.redactors.search import PLACEHOLDERS, placeholder, secret_spans

__all__ = ["Custom", "Note", "Path", "Redactor", "make_redactor"]

Path = tuple[str | int, ...]
Custom = Callable[[Path, Any], Any]

Suspicion = Callable[[bytes], bool]

Note = Callable[[str, Any], None]
"""``(rule, what it hides)``: told at each replacement."""

_DEFAULT = ("secrets",)
_DEEP = "deep"
_ERROR = "error"
_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
_CONTAINERS = frozenset({list, dict})
_TOKEN = b"\xa5token"
"""A key of just that name, packed."""

_SHORTEST = 7
"""No shape of secret fits into fewer bytes."""
_CACHED_NAMES = 4096
_FEWEST_ASKED = 4
"""So many items and more are first asked whether they are suspect: to pack and scan one takes a tenth of a walk."""

_ASKED_AT_ONCE = 16
_ASKED_DEPTH = 8
"""Below it nothing is asked: each level packs all that is in it again."""

_ROUNDS = 8
# The content of these is numbers or fixed text, or would not be readable
# with anything replaced in it.
_FIXED = frozenset({"int", "complex", "decimal", "uuid", "date", "time", "timedelta", "deep", "cycle"})


def _everything(_packed: bytes) -> bool:
    return True


def _nothing(_packed: bytes) -> bool:
    return False


def _any_of(questions: list[Suspicion], custom: Iterable[Custom]) -> Suspicion:
    """Return what says whether one of *questions* is answered yes, or a callable may find something."""
    for each in custom:
        # Of other callables nobody knows what they replace.
        if type(each) is not Pattern or each.is_suspect is None:
            return _everything
        questions.append(each.is_suspect)
    if len(questions) < 2:
        return questions[0] if questions else _nothing

    def is_suspect(packed: bytes) -> bool:
        for ask in questions:  # noqa: SIM110 - a generator takes half as long as a scan
            if ask(packed):
                return True
        return False

    return is_suspect


def make_redactor(
    redact: Sequence[str | Custom] | str | Custom | None = None, *, load: Loader = load_hyperscan
) -> Redactor:
    """
    Return the redactor for rule sets and callables; None means ``("secrets",)``, ``()`` none at all.

    Raises:
        RedactionError: A rule set is unknown, or an item is neither a name
            nor callable.
    """
    if isinstance(redact, str) or callable(redact):
        redact = (redact,)
    items = _DEFAULT if redact is None else tuple(redact)
    custom: list[Custom] = []
    for item in items:
        if callable(item):
            custom.append(item)
        elif item not in CURRENT:
            raise RedactionError(_refusal(item))
    return Redactor([version for name, version in CURRENT.items() if name in items], custom=custom, load=load)


def _refusal(item: object) -> str:
    known = ", ".join(CURRENT)
    if isinstance(item, str):
        return f"redact={item!r}: there is no such rule set. Known: {known}."
    return f"redact: {type(item).__name__} is neither a rule set ({known}) nor a callable (path, value)."


class Redactor:
    """
    Replaces what must not be recorded by ``[redacted:RULE]``; any number of threads may use it at once.

    The same value is always redacted in the same way, and redacting again
    changes nothing.

    Attributes:
        version: The rules in force, as each session records them; ``none``
            when there are none.
        is_suspect: Says whether packed bytes, of one value or of several end
            to end, may need cleaning; where it says no they need none for sure.
    """

    def __init__(
        self, versions: Iterable[str], *, custom: Iterable[Custom] = (), load: Loader = load_hyperscan
    ) -> None:
        stated = list(versions)
        rules = tuple(rule for version in stated for rule in RULES_OF[version])
        self._custom = tuple(custom)
        self._secrets = any(version.startswith("secrets/") for version in stated)
        # What older rules left in an argument has to stay in it: play matches by it.
        self._is_thorough = self._secrets and not {"secrets/1", "secrets/2"}.intersection(stated)
        self._finds = bool(rules)
        self._scanner = scanner_of(rules, self._secrets, load)
        self.is_suspect = _any_of([self._scanner.is_suspect] * self._finds, self._custom)
        self._names: dict[bytes, tuple[bool, bool]] = {}
        self._clean_names: set[str] = set()
        names = [_name_of(item) for item in self._custom]
        self._counts = dict.fromkeys([KEY, _DEEP, _ERROR, *(rule.name for rule in rules), *names], 0)
        self._note: Note | None = None
        self._asks = False
        self.version = "+".join([*stated, *names]) or "none"

    def with_own_counts(self, note: Note | None = None) -> Redactor:
        """
        Return the same redactor with counts of its own: what it hides counts there and nowhere else.

        *note* is told each rule that fires and what it hides; callables are
        then asked for leaves as before.
        """
        twin = self._twin()
        twin._counts = dict.fromkeys(self._counts, 0)
        twin._note = note
        return twin

    def _twin(self) -> Redactor:
        # What `copy.copy` does takes a tenth of beginning a session.
        twin = Redactor.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    @property
    def fired(self) -> Mapping[str, int]:
        """How often each rule replaced something so far; rules that never did are left out."""
        return {name: count for name, count in self._counts.items() if count}

    def failed(self) -> str:
        """Count a payload that is dropped because a callable failed; return what stands for it."""
        return self._placed(_ERROR, None)

    def prepare(self) -> None:
        """Load the scanner now (tens of milliseconds, once in a process) rather than with the first call."""
        if self._finds:
            self._scanner.prepare()

    def clean_packed(self, packed: bytes) -> bytes:
        """
        Return a packed value without secrets: the same object when there is nothing to replace.

        Raises:
            RedactionError: A callable failed; nothing of the value may be kept.
        """
        if not self.is_suspect(packed):
            return packed
        tree = unpack(packed)
        if not is_shallow(tree, packed):
            # All of it has to be walked, to be cut where it is too deep.
            cleaned = self._walk(tree, (), 0)
            return packed if cleaned is tree else pack(cleaned)
        cleaned = self._asking_first()._walk(tree, (), 0)
        return packed if cleaned is tree else _packed_again(cleaned)

    def clean_value(self, tree: Any) -> Any:
        """
        Return an unpacked tree without secrets: the same object when there is nothing to replace.

        Each value in it is looked at, which takes longer than `clean_packed`.

        Raises:
            RedactionError: A callable failed; nothing of the tree may be kept.
        """
        return self._walk(tree, (), 0) if self._finds or self._custom else tree

    def clean_text(self, text: str) -> str:
        """
        Return a name or message without secrets.

        Raises:
            RedactionError: A callable failed, or returned no text.
        """
        asks_rules_alone = self._finds and not self._custom
        cleaned = self._redacted_name(text) if asks_rules_alone else self._leaf(text, ())
        if not isinstance(cleaned, str):
            raise RedactionError(f"a redactor returned {type(cleaned).__name__} where only text can stand")
        return cleaned

    def clean_name(self, name: str) -> str:
        """
        Return the name of an operation without secrets, by the rules alone.

        Calls are known by it: a callable could make all names the same.
        """
        return str(self._redacted_name(name)) if self._finds else name

    # -- the walk -------------------------------------------------------------

    def _walk(self, value: Any, path: Path, depth: int) -> Any:
        cls = type(value)
        if cls is str or cls is bytes:
            return self._leaf(value, path)
        if cls is dict or cls is list or cls is tuple:
            if depth > MAX_DEPTH:
                # Nothing below this depth is kept; a walk without end would
                # only exhaust the stack.
                return self._placed(_DEEP, value)
            return self._map(value, path, depth) if cls is dict else self._list(value, path, depth)
        return value

    def _map(self, items: dict[Any, Any], path: Path, depth: int) -> dict[Any, Any]:
        named = self._holds_named_secret(items)
        spared = "token" if self._is_thorough and is_model_token(items) else None
        cleaned: dict[Any, Any] = {}
        changed = False
        for key, value in items.items():
            new_key = self._key(key)
            if new_key is not key and new_key in cleaned:
                new_key = _free_key(new_key, cleaned)
            is_secret = key != spared and self._is_secret(key, value)
            if is_secret or (named and key == "value" and not _stays(value)):
                new = self._hidden(value)
            else:
                new = self._walk(value, self._inside(path, key), depth + 1)
            changed = changed or new_key is not key or new is not value
            cleaned[new_key] = new
        return cleaned if changed else items

    def _list(self, items: Any, path: Path, depth: int) -> Any:
        if items and type(items[0]) is Marker:
            return self._typed(items, path, depth)
        cleaned = self._items(items, path, depth)
        return items if cleaned is None else type(items)(cleaned)

    def _items(self, items: Sequence[Any], path: Path, depth: int) -> list[Any] | None:
        """Return the items without secrets; None if they are as before."""
        is_pair = len(items) == 2
        suspects = self._suspects(items, depth)
        cleaned = [
            self._hidden(item)
            if index and type(item) in (str, bytes) and self._is_announced(items[index - 1], item, is_pair)
            else self._walk(item, self._inside(path, index), depth + 1)
            if index in suspects
            else item
            for index, item in enumerate(items)
        ]
        same = all(new is old for new, old in zip(cleaned, items, strict=True))
        return None if same else cleaned

    def _asking_first(self) -> Redactor:
        """Return the same redactor, with the same counts, that walks only the suspect ones of many items."""
        twin = self._twin()
        twin._asks = self.is_suspect is not _everything
        return twin

    def _suspects(self, items: Sequence[Any], depth: int) -> Container[int]:
        """Return the places of the items that need a walk: those that need none for sure are left out."""
        if not self._asks or len(items) < _FEWEST_ASKED or depth > _ASKED_DEPTH:
            return range(len(items))
        found: set[int] = set()
        for low in range(0, len(items), _ASKED_AT_ONCE):
            some = items[low : low + _ASKED_AT_ONCE]
            if self._may_hold(some):
                # To look for secrets in a text takes no longer than to ask.
                found.update(
                    place
                    for place, item in enumerate(some, low)
                    if type(item) not in _CONTAINERS or self._may_hold(item)
                )
        return found

    def _may_hold(self, tree: Any) -> bool:
        try:
            packed = pack_tree(tree)
        except TypeError:
            return True
        if not self.is_suspect(packed):
            return False
        if not (self._is_thorough and _TOKEN in packed):
            return True
        # The name alone of what is no secret is not worth a walk.
        return self.is_suspect(pack_tree(without_their_names(tree)))

    def _typed(self, items: list[Any], path: Path, depth: int) -> Any:
        """Return a typed value without secrets, in a form that its type can have."""
        name, content = items[0].name, items[1:]
        if name in _FIXED:
            return items
        if name in ("array", "scalar"):
            return self._solid(items)
        if name == "text":
            return self._surrogate_text(items, path)
        if name == "dict":
            cleaned: list[Any] | None = self._entries(content, path, depth)
        elif name in ("tuple", "set", "frozenset"):
            cleaned = self._items(content, path, depth)
        else:
            cleaned = self._members(name, content, path, depth)
        if cleaned is None:
            return items
        # A set is stored in the order of its packed items, and that must not
        # tell anything about the secrets.
        return [items[0], *(sorted(cleaned, key=pack) if name in ("set", "frozenset") else cleaned)]

    def _members(self, name: str, content: list[Any], path: Path, depth: int) -> list[Any] | None:
        """Clean what follows a class name, which itself stays."""
        first = 0 if name == "datetime" else 1
        labels = {"error": ("", "message", "args"), "enum": ("", "name", "value")}.get(name)
        cleaned = list(content)
        hidden = Quoted()
        walker = self._noting_secrets(hidden) if name == "error" and self._is_thorough else self
        for index in range(first, len(content)):
            inside = (*path, labels[index]) if labels and index < len(labels) else path
            cleaned[index] = walker._walk(content[index], inside, depth + 1)
        if hidden:
            # A message, and an argument that is one, may quote any of them.
            cleaned[1:] = [self._unquoted(each, hidden) for each in cleaned[1:]]
        elif name == "enum" and self._is_thorough and len(content) == 3 and self._is_named_secret(*content[1:]):
            cleaned[2] = self._hidden(content[2])
        same = all(new is old for new, old in zip(cleaned, content, strict=True))
        return None if same else cleaned

    def _noting_secrets(self, hidden: Quoted) -> Redactor:
        """Return the same redactor, that also puts into *hidden* what its rules hide; a callable sees the message."""
        own = {_name_of(item) for item in self._custom}

        def count(rule: str, secret: Any) -> None:
            self._count(rule, secret)
            if rule not in own:
                hidden.add(secret)

        return self.with_own_counts(count)

    def _unquoted(self, message: Any, hidden: Quoted) -> Any:
        """Return an error's message, or all of its arguments, without what was hidden in one of these."""
        if type(message) is list:
            if len(message) == 2 and type(message[0]) is Marker and type(message[1]) is bytes:
                cleaned = self._unquoted(message[1].decode("utf-8", "surrogatepass"), hidden)
                return [message[0], cleaned.encode("utf-8", "surrogatepass")]
            return [self._unquoted(each, hidden) if type(each) is str else each for each in message]
        if type(message) is not str:
            return message
        cleaned, count = hidden.replaced(message, placeholder(KEY))
        for _ in range(count):
            self._count(KEY, None)
        return cleaned if count else message

    def _is_named_secret(self, name: Any, value: Any) -> bool:
        """Return whether *value* is the secret of a member of an enumeration, and not just its name again."""
        is_name_again = type(name) is type(value) is str and _letters(name) == _letters(value)
        return not is_name_again and self._is_secret(name, value)

    def _entries(self, pairs: list[Any], path: Path, depth: int) -> list[Any] | None:
        """Clean the key-value pairs of a map whose keys are no plain text."""
        cleaned = []
        for pair in pairs:
            key, value = pair
            new_key = self._walk(key, path, depth + 1)
            if self._is_secret(key, value):
                new = self._hidden(value)
            else:
                new = self._walk(value, self._inside(path, key), depth + 1)
            cleaned.append(pair if new_key is key and new is value else [new_key, new])
        return None if all(new is old for new, old in zip(cleaned, pairs, strict=True)) else cleaned

    def _solid(self, items: list[Any]) -> Any:
        """Replace an array as a whole: with bytes exchanged it could not be read."""
        for part in items[1:]:
            data = part.encode("utf-8", "surrogatepass") if type(part) is str else part
            if type(data) is bytes and self._finds and (spans := secret_spans(self._scanner, data)):
                return self._placed(spans[0][2], data)
        return items

    def _surrogate_text(self, items: list[Any], path: Path) -> Any:
        text = bytes(items[1]).decode("utf-8", "surrogatepass")
        cleaned = self._leaf(text, path)
        if cleaned is text:
            return items
        if type(cleaned) is str:
            return [items[0], cleaned.encode("utf-8", "surrogatepass")]
        return cleaned

    def _inside(self, path: Path, key: Any) -> Path:
        # Only callables see the path; without them it need not be built.
        if not self._custom:
            return path
        return (*path, key if type(key) in (str, int) else _key_text(key).decode("utf-8", "replace"))

    # -- names ----------------------------------------------------------------

    def _is_secret(self, key: Any, value: Any) -> bool:
        return self._secrets and not _stays(value) and self._is_name(key, number=type(value) in (int, float))

    def _is_name(self, key: Any, *, number: bool = False) -> bool:
        text = key.encode("utf-8", "surrogatepass") if type(key) is str else _key_text(key)
        verdict = self._names.get(text)
        if verdict is None:
            is_thorough = self._is_thorough
            verdict = (
                is_secret_name(text, is_thorough=is_thorough),
                is_secret_name(text, number=True, is_thorough=is_thorough),
            )
            if len(self._names) < _CACHED_NAMES and len(text) <= 64:
                self._names[text] = verdict
        return verdict[number]

    def _is_announced(self, before: Any, item: Any, is_pair: bool) -> bool:
        """Return whether *before* names *item*: ``("X-Api-Key", "...")``, ``["--password", "..."]``."""
        if not self._secrets or type(before) not in (str, bytes) or _isplaceholder(item):
            return False
        start = before[:1]
        return (is_pair or start in ("-", b"-")) and self._is_name(before)

    def _holds_named_secret(self, items: dict[Any, Any]) -> bool:
        """Return whether this is ``{"name": "Authorization", "value": "..."}``."""
        if not self._secrets or "value" not in items:
            return False
        label = items.get("name", items.get("key"))
        return type(label) is str and self._is_name(label)

    def _key(self, key: Any) -> Any:
        if not self._finds:
            return key
        if type(key) is str:
            return self._redacted_name(key)
        if type(key) is bytes:
            return self._redacted(key)
        if type(key) is tuple:
            cleaned = tuple(self._key(part) for part in key)
            return key if cleaned == key else cleaned
        return key

    def _redacted_name(self, name: str) -> str | bytes:
        """Return what `_redacted` does, of a key or name: the same come again and again, and clean ones are known."""
        if name in self._clean_names:
            return name
        cleaned = self._redacted(name)
        if cleaned is name and len(name) <= 64 and len(self._clean_names) < _CACHED_NAMES:
            self._clean_names.add(name)
        return cleaned

    def _hidden(self, value: Any) -> Any:
        if _isplaceholder(value):
            return value
        return self._placed(KEY, value)

    def _placed(self, rule: str, secret: Any) -> str:
        """Return what stands for *secret*, and count that *rule* found it."""
        self._count(rule, secret)
        return placeholder(rule)

    def _count(self, rule: str, secret: Any) -> None:
        self._counts[rule] += 1
        if self._note is not None:
            self._note(rule, secret)

    # -- texts ----------------------------------------------------------------

    def _leaf(self, value: Any, path: Path) -> Any:
        for custom in self._custom:
            value = self._customised(custom, path, value)
        return self._redacted(value) if self._finds and type(value) in (str, bytes) else value

    def _customised(self, custom: Custom, path: Path, value: Any) -> Any:
        if type(value) not in (str, bytes):
            return value
        try:
            new = custom(path, value)
        except Exception as exc:
            # Not chained: the message of a redactor may quote the value.
            raise RedactionError(f"redactor {_name_of(custom)} raised {type(exc).__name__}") from None
        if type(new) not in _SCALARS:
            raise RedactionError(
                f"redactor {_name_of(custom)} returned {type(new).__name__}, not text, bytes, number or None"
            )
        if type(new) is type(value) and new == value:
            return value
        self._count(_name_of(custom), value)
        return new

    def _redacted(self, value: str | bytes) -> str | bytes:
        """Return *value* with each secret in it replaced; itself if there is none."""
        if len(value) < _SHORTEST:
            return value
        data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        spans = secret_spans(self._scanner, data)
        if not spans:
            return value
        # A replacement can make a new shape of its neighbours: look until
        # nothing is found, but a text made to go on for ever goes as a whole.
        for _ in range(_ROUNDS):
            data = self._replaced(data, spans)
            spans = secret_spans(self._scanner, data)
            if not spans:
                break
        else:
            data = placeholder(spans[0][2]).encode()
        return data if isinstance(value, bytes) else data.decode("utf-8", "surrogatepass")

    def _replaced(self, data: bytes, spans: list[tuple[int, int, str]]) -> bytes:
        pieces, at = [], 0
        for start, end, name in spans:
            self._count(name, data[start:end])
            pieces += [data[at:start], placeholder(name).encode()]
            at = end
        return b"".join([*pieces, data[at:]])


def _packed_again(tree: Any) -> bytes:
    try:
        return pack_tree(tree)
    except TypeError:
        # A callable may have put text with lone surrogates, or a large number, into it.
        return pack(tree)


def _stays(value: Any) -> bool:
    """Return whether *value* is too little to be a secret: None, a boolean, a whole number below 128."""
    return value is None or value is True or value is False or (type(value) is int and -32 <= value < 128)


def _isplaceholder(value: Any) -> bool:
    return type(value) is str and PLACEHOLDERS.fullmatch(value.encode("utf-8", "surrogatepass")) is not None


def _letters(text: str) -> str:
    return "".join(each for each in text.lower() if each.isalnum())


def _free_key(key: Any, taken: Mapping[Any, Any]) -> Any:
    """Return *key* with a number, so that two secrets used as keys do not become one."""
    if not isinstance(key, str):
        return key
    number = 2
    while f"{key} ({number})" in taken:
        number += 1
    return f"{key} ({number})"


def _key_text(key: Any) -> bytes:
    """Return the bytes that say what a key that is no text is called: those of its last text."""
    if type(key) is bytes:
        return key
    if type(key) is str:
        return key.encode("utf-8", "surrogatepass")
    if type(key) in (tuple, list) and key:
        return _key_text(key[-1])
    return b""


def _name_of(custom: Custom) -> str:
    return getattr(custom, "__qualname__", type(custom).__qualname__)
