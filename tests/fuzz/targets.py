"""One target for each parser of bytes that an attacker chooses: it holds the parser to what it promises.

A target may raise nothing. What a parser documents as its refusal is caught in it, and only that.
"""

from fuzz import content, kernel, people, records

TARGETS = {**content.TARGETS, **kernel.TARGETS, **people.TARGETS, **records.TARGETS}
