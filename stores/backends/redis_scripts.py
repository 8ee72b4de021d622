"""The conditional writes: one short Lua script each, or WATCH and MULTI where scripts are forbidden. Both atomic, both O(1) commands.

A script compares what is stored with what the writer saw (type, length, bytes, expiry), then writes and keeps the expiry unless
told otherwise. It never runs longer than a handful of single-key commands.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn

from redis.exceptions import NoScriptError, ResponseError, WatchError

from stores.backends.redis_errors import forbids_scripts, lacks_command, unnamed_in_script
from stores.backends.redis_link import Link
from stores.errors import StoreRefused, StoreUnavailable
from stores.texts import say
from stores.types import ABSENT, ANYTHING, Entry, Expected

WATCH_SECONDS: Final = 5.0
"""How long a write without scripts is tried again because of other writers."""
_NUMBER: Final = re.compile(rb"0|-?[1-9][0-9]*")
"""A decimal number as Redis counts with it."""

EXPIRY_LUA: Final = """
local function expiry(key, exact)
  if exact then return redis.call('PEXPIRETIME', key) end
  local left, before, after
  for _ = 1, 5 do
    before = redis.call('TIME'); left = redis.call('PTTL', key); after = redis.call('TIME')
    if left < 0 then return left end
    before = before[1] * 1000 + math.floor(before[2] / 1000)
    after = after[1] * 1000 + math.floor(after[2] / 1000)
    if before == after then break end
  end
  return after + left
end
"""
"""Milliseconds of the expiry, -1 for never, -2 for no key. Where PEXPIRETIME is missing: PTTL read inside one millisecond."""

_PRELUDE: Final = (
    EXPIRY_LUA
    + """
local key, exact = KEYS[1], ARGV[1] == '1'
local mode, seen, length, unit, at = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
for name in string.gmatch(NEEDED, '%a+') do
  if redis.acl_check_cmd and not redis.acl_check_cmd(name, key, '0', '0') then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. string.lower(name) .. "' command")
  end
end
if exact and redis.acl_check_cmd and not redis.acl_check_cmd('PEXPIRETIME', key) then
  return redis.error_reply("NOPERM this user has no permissions to run the 'pexpiretime' command")
end
local kind = redis.call('TYPE', key).ok
if kind ~= 'string' and kind ~= 'none' then return {'type', kind} end
local there, expires = kind == 'string', expiry(key, exact)
local function same()
  if mode == 'anything' then return true end
  if mode == 'absent' then return not there end
  if not there or redis.call('STRLEN', key) ~= length then return false end
  if #seen > 0 and redis.call('GETRANGE', key, 0, #seen - 1) ~= seen then return false end
  return (expires > 0 and math.floor(expires / unit) or expires) == at
end
if not same() then return {'conflict', there and redis.call('GET', key), expires} end
local function past(ms)
  if ms == 'keep' or tonumber(ms) < 0 then return false end
  local now = redis.call('TIME')
  return tonumber(ms) <= now[1] * 1000 + math.floor(now[2] / 1000)
end
local function arming(ms)
  if ms == 'keep' then return nil end
  if tonumber(ms) < 0 then return {'PERSIST', key} end
  return {'PEXPIREAT', key, ms}
end
"""
)
"""Rights are checked and the expiry is read before the first write: what a script has written stays, whatever fails after it."""


class Script:
    """A Lua text and its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _needing(commands: str) -> str:
    return f"local NEEDED = 'TYPE STRLEN GET GETRANGE {commands}'\n{_PRELUDE}"


SET: Final = Script(
    _needing("SET PERSIST PEXPIREAT")
    + """
if past(ARGV[8]) then return {'past'} end
local arm = arming(ARGV[8])
redis.call('SET', key, ARGV[7], 'KEEPTTL')
if arm then redis.call(unpack(arm)) end
return {'ok', false, expiry(key, exact)}
"""
)
EXPIRE: Final = Script(
    _needing("PERSIST PEXPIREAT")
    + """
if not there then return {'none'} end
if past(ARGV[8]) then return {'past'} end
local value = redis.call('GET', key)
redis.call(unpack(arming(ARGV[8])))
return {'ok', value, expiry(key, exact)}
"""
)
DELETE: Final = Script(
    _needing("UNLINK")
    + """
if not there then return {'none'} end
local value = redis.call('GET', key)
redis.call('UNLINK', key)
return {'ok', value, expires}
"""
)
INCREMENT: Final = Script(
    _needing("INCRBY PERSIST PEXPIREAT")
    + """
if past(ARGV[8]) then return {'past'} end
local arm, before = arming(ARGV[8]), redis.call('GET', key)
local reply = redis.pcall('INCRBY', key, ARGV[7])
if type(reply) == 'table' and reply.err then
  if string.find(reply.err, 'not an integer') or string.find(reply.err, 'overflow') then return {'number', before, expires} end
  return reply
end
if arm then redis.call(unpack(arm)) end
return {'ok', redis.call('GET', key), expiry(key, exact)}
"""
)


class Outcome(StrEnum):
    """How a write ended."""

    OK = "ok"
    CONFLICT = "conflict"
    """Something else is stored; value and expiry are that."""
    NONE = "none"
    """There is no such key."""
    PAST = "past"
    """The expiry lies in the past of the server's clock; nothing was written."""
    TYPE = "type"
    """The key holds no string; `value` names its type."""
    NUMBER = "number"
    """The value is no number, or would leave the signed 64 bits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write found or made. `expires_ms` is -1 for never, -2 for no key."""

    outcome: Outcome
    value: bytes | None = None
    expires_ms: int = -2


@dataclass(frozen=True, slots=True)
class Write:
    """One conditional write. `expires` is "keep", "-1" for never, or Unix milliseconds."""

    script: Script
    key: bytes
    expect: Expected
    value: bytes = b""
    expires: str = "keep"

    def arguments(self, exact: bool) -> tuple[Any, ...]:
        return ("1" if exact else "0", *_expected(self.expect), self.value, self.expires)


def run_script(link: Link, script: Script, keys: tuple[bytes, ...], arguments: tuple[Any, ...]) -> Any:
    """EVALSHA, with the text the first time a server meets it. Raises driver errors."""
    try:
        return link.execute("EVALSHA", script.sha, len(keys), *keys, *arguments)
    except NoScriptError:
        return link.execute("EVAL", script.text, len(keys), *keys, *arguments)


def write(link: Link, change: Write) -> Answer:
    """Carry out a conditional write in one atomic step, one round trip. Raises StoreError."""
    while True:
        if not (link.dialect.scripts or link.dialect.pexpiretime):
            _neither_way()
        answer = link.run(lambda: _attempt(link, change), write_to=change.key)
        if answer is not None:
            return answer


def _attempt(link: Link, change: Write) -> Answer | None:
    """What came of it, or None after learning that the server wants it done in another way: nothing was written then."""
    try:
        if not link.dialect.scripts:
            return _watched(link, change)
        return answer_of(run_script(link, change.script, (change.key,), change.arguments(link.dialect.pexpiretime)))
    except ResponseError as error:
        if learned(link, error):
            return None
        raise


def learned(link: Link, error: BaseException) -> bool:
    """Take note of a refusal that another way of asking avoids. False when it is a refusal for good."""
    dialect = link.dialect
    if dialect.read_scripts and (lacks_command(error, "evalsha_ro") or lacks_command(error, "eval_ro")):
        dialect.read_scripts = False
        return True
    if dialect.scripts and forbids_scripts(error):
        dialect.scripts = False
        return True
    if dialect.pexpiretime and (lacks_command(error, "pexpiretime") or unnamed_in_script(error)):
        dialect.pexpiretime = False
        return True
    return False


def answer_of(reply: Any) -> Answer:
    """What a script's reply says."""
    outcome = Outcome(bytes(reply[0]).decode())
    if outcome is Outcome.TYPE:
        return Answer(outcome, bytes(reply[1]))
    if len(reply) == 1:
        return Answer(outcome)
    value = reply[1]
    return Answer(outcome, None if value is None or value is False else bytes(value), int(reply[2]))


def _expected(expect: Expected) -> tuple[Any, ...]:
    """Mode, the bytes that were seen, their true length, the unit of the expiry in ms, and the expiry in that unit."""
    if expect is ANYTHING or expect is ABSENT:
        return (str(expect), b"", 0, 1, 0)
    assert isinstance(expect, Entry)
    seen = stored_bytes(expect)
    length = len(seen) if expect.length is None else expect.length
    if expect.expires_at_ms is not None:
        return ("entry", seen, length, 1, expect.expires_at_ms)
    return ("entry", seen, length, 1000, -1 if expect.expires_at is None else expect.expires_at)


def stored_bytes(entry: Entry) -> bytes:
    """What Redis holds for an entry: its value, or its number as decimal text."""
    if entry.value is not None:
        return entry.value
    return b"" if entry.counter is None else b"%d" % entry.counter


# without scripts


def _watched(link: Link, change: Write) -> Answer:
    """The same in WATCH ... MULTI ... EXEC: a few round trips, repeated when another writer comes between."""
    pipe: Any
    deadline = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < deadline:
        with link.node_of(change.key).pipeline(transaction=True) as pipe:
            try:
                pipe.watch(change.key)
                found = _look(pipe, change.key)
                early = _decide(link, change, found)
                if early is not None:
                    return early
                pipe.multi()
                _STEPS[change.script](pipe, change)
                pipe.execute_command("GET", change.key)
                pipe.execute_command("PEXPIRETIME", change.key)
                *_, value, expires = pipe.execute()
            except WatchError:
                continue
            return found if change.script is DELETE else Answer(Outcome.OK, value, int(expires))
    raise StoreUnavailable(say("Others write this key all the time."), say("Try again in a moment."))


def _look(pipe: Any, key: bytes) -> Answer:
    kind = bytes(pipe.execute_command("TYPE", key))
    if kind not in (b"string", b"none"):
        return Answer(Outcome.TYPE, kind)
    if kind == b"none":
        return Answer(Outcome.NONE)
    return Answer(Outcome.OK, pipe.execute_command("GET", key), int(pipe.execute_command("PEXPIRETIME", key)))


def _decide(link: Link, change: Write, found: Answer) -> Answer | None:
    """The answer when nothing is to be written, else None."""
    if found.outcome is Outcome.TYPE:
        return found
    if not _same(change.expect, found):
        return Answer(Outcome.CONFLICT, found.value, found.expires_ms)
    if found.outcome is Outcome.NONE and change.script in (EXPIRE, DELETE):
        return found
    if change.script is INCREMENT and not _fits(found.value, int(change.value)):
        return Answer(Outcome.NUMBER, found.value, found.expires_ms)
    if change.expires not in ("keep", "-1") and int(change.expires) <= _server_ms(link, change.key):
        return Answer(Outcome.PAST)
    return None


def _same(expect: Expected, found: Answer) -> bool:
    if expect is ANYTHING:
        return True
    if expect is ABSENT:
        return found.outcome is Outcome.NONE
    if found.value is None:
        return False
    _, seen, length, unit, at = _expected(expect)
    now = found.expires_ms // unit if found.expires_ms > 0 else found.expires_ms
    return bool(len(found.value) == length and found.value.startswith(seen) and now == at)


def _fits(text: bytes | None, delta: int) -> bool:
    """Whether INCRBY would succeed: a command that fails inside EXEC does not stop the ones after it."""
    if text is None:
        return True
    return bool(_NUMBER.fullmatch(text)) and -(1 << 63) <= int(text) + delta < 1 << 63 and -(1 << 63) <= int(text) < 1 << 63


def _server_ms(link: Link, key: bytes) -> int:
    client: Any = link.node_of(key)
    seconds, micros = client.execute_command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def _arm(pipe: Any, change: Write) -> None:
    if change.expires == "-1":
        pipe.execute_command("PERSIST", change.key)
    elif change.expires != "keep":
        pipe.execute_command("PEXPIREAT", change.key, change.expires)


def _queue_set(pipe: Any, change: Write) -> None:
    pipe.execute_command("SET", change.key, change.value, "KEEPTTL")
    _arm(pipe, change)


def _queue_increment(pipe: Any, change: Write) -> None:
    pipe.execute_command("INCRBY", change.key, change.value)
    _arm(pipe, change)


_STEPS: Final[dict[Script, Callable[[Any, Write], None]]] = {
    SET: _queue_set,
    EXPIRE: _arm,
    DELETE: lambda pipe, change: pipe.execute_command("UNLINK", change.key),
    INCREMENT: _queue_increment,
}


def _neither_way() -> NoReturn:
    raise StoreRefused(
        say("kvadmin can change nothing here: scripts are forbidden and the server does not know PEXPIRETIME."),
        say("Allow EVAL and EVALSHA to the user, or use Redis 7 or Valkey."),
    )
