"""What a memory gives back: hits, search results and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload
from uuid import UUID

import attrs

from replaykit.model.actions import FrameId

__all__ = ["Answer", "Erasure", "Frame", "Hit", "SearchResult"]


@attrs.frozen(kw_only=True)
class Frame:
    """One item of the embedded memory, as it is at one generation."""

    frame_id: int
    content: str | bytes
    title: str | None = None
    uri: str | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    created_ns: int = 0
    generation: int = 0

    @property
    def content_hash(self) -> bytes:
        """The BLAKE3 hash of the content, 32 bytes: of a text, of its UTF-8."""
        from blake3 import blake3

        content = self.content
        return blake3(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content).digest()


@attrs.frozen(kw_only=True)
class Erasure:
    """
    How far an erasure reached.

    Attributes:
        frame_ids: The frames that were to go.
        versions: How many versions of them this memory held.
        generation: The memory's generation afterwards; a new one where a frame was live.
        forks: The files of the forks that do not hold them any more.
        unreached: The files of forks that may still hold them, each with the reason.
        sessions: The sessions whose actions touched them: their recordings may hold what they said.
    """

    frame_ids: tuple[int, ...]
    versions: int = 0
    generation: int = 0
    forks: tuple[str, ...] = ()
    unreached: Mapping[str, str] = attrs.field(factory=dict)
    sessions: tuple[UUID, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether neither a known fork nor a session of the memory's store may hold them still."""
        return not self.unreached and not self.sessions


@attrs.frozen(kw_only=True, repr=False)
class Hit:
    """One found frame; ``rank`` starts at 1, a higher ``score`` is better."""

    frame_id: FrameId
    rank: int = 0
    score: float = 0.0
    title: str | None = None
    uri: str | None = None
    snippet: str = ""
    text: str = ""
    metadata: Mapping[str, Any] = attrs.field(factory=dict)

    def __repr__(self) -> str:
        return f"<Hit {self.rank}: frame {self.frame_id}, score {self.score:.4g}>"


@attrs.frozen(repr=False)
class SearchResult(Sequence[Hit]):
    """The hits of one find, best first."""

    hits: tuple[Hit, ...] = ()
    mode: str = "lex"

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dict per hit."""
        return [attrs.asdict(hit, recurse=False) for hit in self.hits]

    def to_pandas(self) -> Any:
        """
        Return the hits as a pandas ``DataFrame``.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(self.to_records())

    def __repr__(self) -> str:
        return f"<SearchResult {len(self.hits)} hits, mode {self.mode}>"


@attrs.frozen(kw_only=True, repr=False)
class Answer:
    """
    An answer and the frames that it stands on.

    Attributes:
        frame_ids: The frames that it was made from: whose sentences it has, or that the model was shown.
        hits: What was found for the question.
        prompt_tokens: How many tokens the model read; None where its server does not say.
        completion_tokens: How many tokens it wrote; None where its server does not say.
        first_token_ms: Milliseconds from the request to the first piece of text; None unless it came in pieces.
    """

    text: str
    provider: str
    model: str
    frame_ids: tuple[FrameId, ...] = ()
    hits: tuple[Hit, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_ms: float | None = None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Answer by {self.provider}:{self.model} from {len(self.frame_ids)} frames>"
