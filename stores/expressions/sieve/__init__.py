"""The part of trusted Sieve that asks lookup stores: compile a script, run it against stores, see every question (expressions.md 6).

An own reader: sievelib 1.6, with `let`, `eval`, `while` and `string` registered as commands, agrees with Stalwart's interpreter on 118 of
173 recorded scripts. It has no place for `if eval`, a test with the name of a command, nor for `while "..."`, tells no columns, and
takes names and comparators otherwise.
"""

from stores.expressions.sieve.compile import compile_script
from stores.expressions.sieve.counted import SieveLookups
from stores.expressions.sieve.run import Outcome, SieveContext, run_script
from stores.expressions.sieve.syntax import Script, SieveError

__all__ = ["Outcome", "Script", "SieveContext", "SieveError", "SieveLookups", "compile_script", "run_script"]
