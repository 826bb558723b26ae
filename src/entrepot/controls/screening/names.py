"""When are two names the same name? Case, width, accents, order of words and legal form are not compared.

A name becomes its *core*: NFKC, lower case, without accents, Cyrillic and Greek in Latin letters, punctuation as spaces,
single letters joined (``S.A.`` is ``sa``), legal forms taken off both ends. The words of `legal_forms.toml` are the only
table. What no rule of ours can read, such as Chinese characters against a Latin name, is said to be not comparable: it is
not a name without a match.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from entrepot.controls import _toml

__all__ = ["Core", "comparable", "core", "spellings", "weak", "weight"]

# BGN/PCGN without diacritics; the list itself spells Russian names in several ways, which the score absorbs.
_CYRILLIC = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґўљњћђџј",
        ["a", "b", "v", "g", "d", "e", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f",
         "kh", "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya", "i", "yi", "ye", "g", "u", "lj", "nj", "c", "dj",
         "dz", "j"],
        strict=True,
    )
)  # fmt: skip
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρσςτυφχψω",
        ["a", "v", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "s", "s", "t", "y", "f",
         "ch", "ps", "o"],
        strict=True,
    )
)  # fmt: skip
_LATIN = {
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "đ": "d",
    "ł": "l",
    "ı": "i",
    "þ": "th",
    "ð": "d",
    "ħ": "h",
    "ə": "a",
}
_LETTERS = str.maketrans(_CYRILLIC | _GREEK | _LATIN)
_BRACKETS = re.compile(r"[(\[（【][^()\[\]（）【】]*[)\]）】]")
_ALSO = re.compile(
    r"\b(?:a\.?k\.?a\.?|f\.?k\.?a\.?|n\.?k\.?a\.?|d\.?b\.?a\.?|also known as|formerly known as)(?!\w)[:,]?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Core:
    """A name as it is compared: its words, the words in order as one text, and without spaces."""

    words: tuple[str, ...]

    @property
    def sorted(self) -> str:
        """The words in alphabetical order: the order in which a name is written does not count."""
        return " ".join(sorted(self.words))

    @property
    def telling(self) -> Core:
        """The words that few names share; all of them where there is none."""
        few = tuple(w for w in self.words if not weak(w))
        return Core(few) if few else self

    @property
    def joined(self) -> str:
        """The words without spaces: where a name is divided does not count."""
        return "".join(self.words)


@cache
def _forms() -> tuple[
    frozenset[str], frozenset[str], tuple[tuple[str, ...], ...], tuple[str, ...], frozenset[str]
]:
    held = _toml.read("legal_forms")
    phrases = sorted((tuple(p.split()) for p in _toml.names(held, "phrases")), key=len, reverse=True)
    glued = tuple(sorted(_toml.names(held, "glued"), key=len, reverse=True))
    return (
        frozenset(_toml.names(held, "last")),
        frozenset(_toml.names(held, "first")),
        tuple(phrases),
        tuple(unicodedata.normalize("NFKC", g).casefold() for g in glued),
        frozenset(_toml.names(held, "weak")),
    )


def weak(word: str) -> bool:
    """Return whether many names share a word, so that it says little about who bears it."""
    return word in _forms()[4] or word in _forms()[0]


def weight(word: str) -> float:
    """Return how much a word says about who bears it: 1, or less for a word that many names share.

    The weight depends on the word alone, never on the rest of a list: a score means the same tomorrow.
    """
    if weak(word):
        return 0.25
    return 0.4 if len(word) < (3 if word.isascii() else 2) else 1.0


@lru_cache(maxsize=200_000)
def core(name: str) -> Core:
    """Return a name as it is compared.

    Examples
    --------
    >>> core("Borealis Trading Co., Ltd.").words
    ('borealis', 'trading')
    >>> core("ＢＯＲÉＡＬＩＳ  trading (Company) Limited") == core("Borealis Trading Co., Ltd.")
    True
    >>> core("北极星贸易有限公司").words
    ('北极星贸易',)
    >>> core("ОАО «Северное сияние»").words
    ('severnoe', 'siyanie')
    """
    words = _split(name)
    return Core(_bare(words))


def _split(name: str) -> tuple[str, ...]:
    text = unicodedata.normalize("NFKC", name).casefold()
    text = unicodedata.normalize("NFC", text).translate(_LETTERS)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c)).translate(_LETTERS)
    text = unicodedata.normalize("NFC", text)
    text = text.replace("&", " and ")
    text = re.sub(r"['’ʼ`´ʻ]", "", text)
    raw = re.sub(r"[\W_]+", " ", text).split()
    words: list[str] = []
    single = False
    for word in raw:
        alone = len(word) == 1 and word.isascii() and word.isalpha()
        if alone and single:
            words[-1] += word  # "s a" of "S.A." is one word
        else:
            words.append(word)
        single = alone
    return tuple(words)


def _bare(words: tuple[str, ...]) -> tuple[str, ...]:
    last, first, phrases, glued, _ = _forms()
    left = list(words)
    while True:
        before = list(left)
        if len(left) > 1 and left[-1] in last:
            left.pop()
        if len(left) > 1 and left[0] in first:
            left.pop(0)
        for phrase in phrases:
            n = len(phrase)
            if len(left) > n and tuple(left[-n:]) == phrase:
                del left[-n:]
            if len(left) > n and tuple(left[:n]) == phrase:
                del left[:n]
        if left and not left[-1].isascii():
            for form in glued:
                if left[-1].endswith(form) and len(left[-1]) > len(form):
                    left[-1] = left[-1][: -len(form)]
                    break
        if left == before:
            return tuple(left)


def spellings(name: str) -> tuple[str, ...]:
    """Return the names that one printed name holds: the whole, the whole without brackets, what the brackets hold.

    Examples
    --------
    >>> spellings("Boreal Institute 13 (BI 13)")
    ('Boreal Institute 13 (BI 13)', 'Boreal Institute 13', 'BI 13')
    >>> spellings("Nord Bank (f.k.a. Old Nord Bank)")[-1]
    'Old Nord Bank'
    """
    found = [name.strip()]
    outside = " ".join(_BRACKETS.sub(" ", name).split())
    if outside != found[0]:
        found.append(outside)
        for part in _BRACKETS.findall(name):
            inside = part[1:-1].strip()
            if _ALSO.match(inside):
                found.append(_ALSO.sub("", inside, count=1).strip())
            elif inside.isupper() and inside.isascii() and len(inside) > 2:
                found.append(inside)
    return tuple(dict.fromkeys(s for s in found if core(s).words))


def comparable(names: Iterable[str]) -> bool:
    """Return whether any of the names can be held against names in Latin letters.

    A name in Chinese, Japanese, Korean, Arabic, Hebrew, Thai or Indic script has no Latin spelling that a rule could find:
    it is compared with names in its own script, and that no name resembles it says nothing.

    Examples
    --------
    >>> comparable(["北极星贸易有限公司"]), comparable(["北极星贸易有限公司", "Polaris Trading"])
    (False, True)
    """
    for name in names:
        letters = [c for c in "".join(_split(name)) if c.isalpha()]
        if (
            letters
            and sum(c.isascii() for c in letters) >= 0.5 * len(letters)
            and sum(map(str.isascii, letters)) >= 2
        ):
            return True
    return False
