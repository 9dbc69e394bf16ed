"""What is asked of a server: prompts and lengths drawn by integers from the run's seed, the same on every machine.

A prompt is a row of common English words, for each of which most vocabularies have one token. Its first words spell the
number of the request, so that no two prompts of a run share a beginning that a server could keep from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from oildrop.rules.records import Scalar
from oildrop.workloads.integers import raw_words

_LIST = (
    "able about above across act add after again age ago air all also always and animal answer any apple are area "
    "arm art ask away back bad ball bank bar base be beat bed been before began begin being best better big bird "
    "black blue board boat body book both box boy bring brought brown build burn bus but buy by call came can car "
    "care carry case cat catch cause cell center chair change check child city class clean clear close cloud coat "
    "cold color come common cook cool corn cost could count country course cover cow cross cry cup cut dance dark "
    "day dead deal deep did do dog door down draw dream dress drink drive drop dry each ear early earth east easy "
    "eat edge egg eight end enough even ever every eye face fact fall family far farm fast father fear feel feet "
    "few field fight fill find fine fire first fish five floor fly follow food foot for force form forward found "
    "four free friend from front fruit full game garden gave get girl give glad glass go gold good got grand grass "
    "gray great green grew ground group grow had hair half hand happy hard has hat have he head hear heart heat "
    "heavy held help her here high hill him his hold hole home hope horse hot hour house how "
    "hundred ice idea if inch iron island job jump just keep kept key kind king knew know lady lake land large last "
    "late laugh law lay lead leaf learn"
)

WORDS = tuple(_LIST.split())
"""256 of them, so that one byte picks one."""

NUMBER_WORDS = 4
"""Words that spell the request's number: 32 bits."""

LENGTH_WORDS = 2
"""Of a prompt's stream the first two words are its lengths, the rest its text."""

MIXER = 0x9E3779B1
"""Odd, so that no two numbers are mixed into one: 2**32 over the golden ratio, which spreads neighbours far apart."""

CountTokens = Callable[[str], int]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One request's text, and tokens: of the prompt as near as is known here, and to be answered with."""

    text: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Prompts:
    """The stream of a seed's requests under the settings `requests.*`.

    Args:
        count_tokens: The server's own tokenizer, where it is known here; prompts then have exactly the tokens that
            were drawn wherever words can make them. Without one a word counts as a token.
    """

    seed: int
    settings: Mapping[str, Scalar]
    count_tokens: CountTokens | None = None

    def prompt(self, index: int) -> Prompt:
        """Request number `index`."""
        number = index if self.settings["requests.prompts"] == "unique" else 0
        (least, most), (least_output, most_output) = self._bounds
        drawn = raw_words(self.seed, f"prompt/{number}", first_block=0, count=LENGTH_WORDS + (most + 7) // 8)
        asked = least + int(drawn[0]) % (most - least + 1)
        output_tokens = least_output + int(drawn[1]) % (most_output - least_output + 1)
        picks = drawn[LENGTH_WORDS:].astype("<u8").tobytes()
        words = [*self._spelt(number), *(WORDS[pick] for pick in picks[: asked - NUMBER_WORDS])]
        text, input_tokens = self._fitted(words[:asked], asked)
        return Prompt(text=text, input_tokens=input_tokens, output_tokens=output_tokens)

    def _spelt(self, number: int) -> list[str]:
        mixed = (number * MIXER + self._offset) % 2**32
        return [WORDS[byte] for byte in mixed.to_bytes(NUMBER_WORDS, "little")]

    def _fitted(self, words: list[str], tokens: int) -> tuple[str, int]:
        """As many of the words as make `tokens` tokens at most, and how many they make."""
        if self.count_tokens is None:
            return " ".join(words), len(words)
        counted = self.count_tokens(" ".join(words))
        while counted > tokens and len(words) > NUMBER_WORDS:
            too_many = max(1, (counted - tokens) * len(words) // counted)
            words = words[: max(NUMBER_WORDS, len(words) - too_many)]
            counted = self.count_tokens(" ".join(words))
        return " ".join(words), counted

    @cached_property
    def _bounds(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Fewest and most tokens of a prompt, and of an answer."""
        prompt, output = (
            tuple(int(self.settings[f"requests.{what}_tokens_{end}"]) for end in ("min", "max"))
            for what in ("prompt", "output")
        )
        return (prompt[0], prompt[1]), (output[0], output[1])

    @cached_property
    def _offset(self) -> int:
        """Different for each seed, so that prompts of one run do not begin as those of the next."""
        return int(raw_words(self.seed, "numbers", first_block=0, count=1)[0])
