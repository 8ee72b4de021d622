"""The part of trusted Sieve that asks lookup stores: compile a script, run it against stores, see every question (expressions.md 6).

An own reader, because general Sieve libraries refuse `let`, `eval` and `while`, and read string escapes differently.
"""

from stores.expressions.sieve.compile import compile_script
from stores.expressions.sieve.run import Outcome, SieveContext, SieveLookups, run_script
from stores.expressions.sieve.syntax import Script, SieveError

__all__ = ["Outcome", "Script", "SieveContext", "SieveError", "SieveLookups", "compile_script", "run_script"]
