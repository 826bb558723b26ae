"""How alike are two names? One score from 0 to 100, of the two names alone, for thousands of names at once.

::

    score(p, e) = max over the spellings of p and of e of
        mean of ratio(words) and ratio(telling words)
        75 c + 25 d

``ratio(words)`` is taken of the words in alphabetical order and of the words without spaces; the higher one counts. So the
first line finds typing errors, words in another order and names that are divided elsewhere; half of it rests on the
telling words alone, those that few names share, because "Technology" and "Trading" make any two companies alike. The
second line finds a name that is a part of the other.
``ratio`` is the normalised Indel similarity (2 x longest common subsequence / both lengths). ``c`` and ``d`` are the weight
of the shared words over the weight of the lighter and of the heavier name; words count as shared from a ratio of 80, and
at least one that is not a word of many names must be shared. The score is a maximum, so another alias never lowers it, and
it depends on no other entry, so a new list never changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from entrepot.controls.screening.names import Core, core, spellings, weight
from entrepot.controls.screening.records import Entry, PartyName

__all__ = ["Index", "likeness"]

F32: TypeAlias = NDArray[np.float32]
I64: TypeAlias = NDArray[np.int64]

_WORD_MIN = 80.0  # two words count as one from here
_CHUNK = 64  # queries at a time: memory is chunk x names


@dataclass(frozen=True, slots=True)
class _Postings:
    """Names by word: ``names[start[w] : start[w + 1]]`` hold the word ``w``."""

    words: tuple[str, ...]
    start: I64
    names: I64
    weight_of_name: F32


class Index:
    """Every name of a list, ready to be compared."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        rows = [(i, n, core(n)) for i, entry in enumerate(self.entries) for n in entry.names]
        self.rows = [(i, n, c) for i, n, c in rows if c.words]
        self.entry = np.array([i for i, _, _ in self.rows], dtype=np.int64)
        self._words = _Texts([c for _, _, c in self.rows])
        self._telling = _Texts([c.telling for _, _, c in self.rows])
        self._postings = _postings([c for _, _, c in self.rows])

    def near(self, parties: Sequence[PartyName], floor: float) -> Iterator[list[tuple[int, str, float]]]:
        """Yield for each party the entries from ``floor`` up: index of the entry, the name it goes by there, the score.

        Best first; entries of equal score in the order of the list.
        """
        spelt = [
            (p, core(s))
            for p, party in enumerate(parties)
            for n in (party.name, *party.aliases)
            for s in spellings(n)
        ]
        best: list[dict[int, tuple[float, int]]] = [{} for _ in parties]
        for begin in range(0, len(spelt), _CHUNK):
            chunk = spelt[begin : begin + _CHUNK]
            scores = self._scores([c for _, c in chunk], floor)
            for (p, _), row in zip(chunk, scores, strict=True):
                for name in np.flatnonzero(row >= floor):
                    found, i = float(row[name]), int(self.entry[name])
                    if found > best[p].get(i, (-1.0, 0))[0]:
                        best[p][i] = (found, int(name))
        for of_party in best:
            ranked = sorted(of_party.items(), key=lambda item: (-item[1][0], item[0]))
            yield [(i, self.rows[name][1], round(score, 1)) for i, (score, name) in ranked]

    def _scores(self, cores: Sequence[Core], floor: float) -> F32:
        """Return (queries, names) scores; below ``floor`` any value below it."""
        scores = self._words.ratios(cores, floor)
        scores += self._telling.ratios([c.telling for c in cores], floor)
        scores /= np.float32(2)
        for q, shared in enumerate(self._contained(cores)):
            np.maximum(scores[q], shared, out=scores[q])
        return scores

    def _contained(self, cores: Sequence[Core]) -> Iterator[F32]:
        post = self._postings
        words = sorted({w for c in cores for w in c.words})
        at = {w: i for i, w in enumerate(words)}
        alike = _cdist(words, post.words, _WORD_MIN)
        holders = [self._holders(row) for row in alike]
        size = len(self.rows)
        for query in cores:
            shared, distinct = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.bool_)
            for word in dict.fromkeys(query.words):
                names, likeness_ = holders[at[word]]
                shared[names] += np.float32(weight(word)) * likeness_
                if weight(word) >= 1:
                    distinct[names] = True
            own = np.float32(sum(weight(w) for w in dict.fromkeys(query.words)))
            lighter = np.minimum(own, post.weight_of_name)
            heavier = np.maximum(own, post.weight_of_name)
            part = np.minimum(shared / lighter, 1) * np.float32(75) + np.minimum(
                shared / heavier, 1
            ) * np.float32(25)
            yield np.where(distinct, part, np.float32(0))

    def _holders(self, alike: F32) -> tuple[I64, F32]:
        """Return the names that hold a word like this one, each once, with the likeness of its closest word."""
        post = self._postings
        found = np.flatnonzero(alike)
        if not len(found):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        order = found[np.argsort(alike[found], kind="stable")]  # the closest word is written last
        names = np.concatenate([post.names[post.start[w] : post.start[w + 1]] for w in order])
        counts = post.start[order + 1] - post.start[order]
        likeness_ = np.repeat(alike[order] / np.float32(100), counts)
        unique, last = np.unique(names[::-1], return_index=True)
        return unique, likeness_[::-1][last]


class _Texts:
    """Names as texts: their words in order, and their words without spaces."""

    def __init__(self, cores: Sequence[Core]) -> None:
        self.sorted = [c.sorted for c in cores]
        self.joined = [c.joined for c in cores]

    def ratios(self, cores: Sequence[Core], floor: float) -> F32:
        """Return (queries, names) ratios; 0 where the mean with any other could not reach ``floor``."""
        least = max(2 * floor - 100, 0.0)
        asked = _Texts(cores)
        found: F32 = _cdist(asked.sorted, self.sorted, least)
        np.maximum(found, _cdist(asked.joined, self.joined, least), out=found)
        return found


def _cdist(asked: Sequence[str], held: Sequence[str], least: float) -> F32:
    found: F32 = process.cdist(
        asked, held, scorer=fuzz.ratio, score_cutoff=least, dtype=np.float32, workers=-1
    )
    return found


def _postings(cores: Sequence[Core]) -> _Postings:
    held: dict[str, list[int]] = {}
    for i, c in enumerate(cores):
        for word in dict.fromkeys(c.words):
            held.setdefault(word, []).append(i)
    words = tuple(held)
    counts = np.array([len(held[w]) for w in words], dtype=np.int64)
    return _Postings(
        words=words,
        start=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
        names=np.array([i for w in words for i in held[w]], dtype=np.int64),
        weight_of_name=np.array(
            [sum(weight(w) for w in dict.fromkeys(c.words)) for c in cores], dtype=np.float32
        ),
    )


def likeness(one: str, other: str) -> float:
    """Return how alike two addresses are, 0 to 100: words in any order, one perhaps a part of the other.

    Examples
    --------
    >>> likeness("12 Harbour Road, Port Aurel", "Harbour Rd. 12, Port Aurel, 10117, CN") > 85
    True
    """
    return float(fuzz.token_set_ratio(" ".join(core(one).words), " ".join(core(other).words)))
