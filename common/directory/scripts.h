/* SPDX-License-Identifier: Apache-2.0
 * scripts.h - the Lua that compares and writes in one step.
 *
 * <prefix>alive         sorted set: node id by the unix millisecond (Redis' clock) at which its lease ends
 * <prefix>records       hash: node id -> its record
 * <prefix>loads         sorted set: node id by the version of its last change
 * <prefix>changes       the same, of changes that everybody should know: a node came, moved, drains, is full, or not any more
 * <prefix>version       counts changes; begins with Redis' clock, so that one that came back empty is ahead of what nodes know
 * <prefix>stream:<name> hash {owner, epoch, lease in ms}: lives as long as its owner
 * <prefix>owned:<id>    hash: the names a node has claimed -> epoch
 * <prefix>viewers:<name> hash: node id -> "how many until when": a hint, as <prefix>has:<name> (presence.c)
 * <prefix>news          list: events that have not been published
 * <prefix>told          while it exists none are: what happens meanwhile leaves in one message. Each message costs Redis a write a node
 * <prefix>epoch:<name>  the highest epoch a name ever had, for a day
 *
 * A node renews one lease, whatever the number of its streams. Epochs and versions are below 2^53, so Lua's numbers hold them exactly. */
#pragma once

#define SCRIPT_NOW \
    "local t = redis.call('TIME')\n" \
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

#define SPREAD_MS 100 /* between two messages on the channel */
#define SPREAD_TEXT(ms) #ms
#define SPREAD_VALUE(ms) SPREAD_TEXT(ms)

/* tell: an event; spread: publishes what has been told, unless some was just now. Returns how many are left. */
#define SCRIPT_NEWS \
    "local function tell(prefix, text) redis.call('RPUSH', prefix .. 'news', text) end\n" \
    "local function spread(prefix)\n" \
    "  local left = redis.call('LLEN', prefix .. 'news')\n" \
    "  if left == 0 or not redis.call('SET', prefix .. 'told', '1', 'PX', " SPREAD_VALUE(SPREAD_MS) ", 'NX') then return left end\n" \
    "  redis.call('PUBLISH', prefix .. 'events', table.concat(redis.call('LRANGE', prefix .. 'news', 0, 999), '\\n'))\n" \
    "  redis.call('LTRIM', prefix .. 'news', 1000, -1)\n" \
    "  return redis.call('LLEN', prefix .. 'news')\n" \
    "end\n"

/* ARGV: prefix. */
static const char script_spread[] = SCRIPT_NEWS "return spread(ARGV[1])\n";

/* KEYS: alive, records, changes, loads, version, and of changes and loads the one to read. ARGV: id, record, lease ms, changed 0, 1 (load)
 * or 2, announce 0/1, fresh 0/1, version known, most, prefix.
 * Renews the node's lease and says what is new.
 *   fresh: the process has just begun, so what the id has claimed is its predecessor's, and goes.
 *   A node whose lease is over goes at once, its streams a lease later: when Redis stood still, all are late.
 * Returns {whether the lease had not run out, version, nodes alive, records changed since the version known (at most `most`), events left}. */
static const char script_sync[] =
    SCRIPT_NOW SCRIPT_NEWS
    "local id, lease, prefix = ARGV[1], tonumber(ARGV[3]), ARGV[9]\n"
    "local function forget_streams(owner)\n"
    "  local owned = redis.pcall('HGETALL', prefix .. 'owned:' .. owner)\n"
    "  for i = 1, #owned, 2 do\n"
    "    local key = prefix .. 'stream:' .. owned[i]\n"
    "    local has = redis.pcall('HMGET', key, 'owner', 'epoch')\n"
    "    if has[1] == owner and has[2] == owned[i + 1] then\n"
    "      redis.call('DEL', key)\n"
    "      tell(prefix, 'gone ' .. owned[i])\n"
    "    end\n"
    "  end\n"
    "  redis.call('DEL', prefix .. 'owned:' .. owner)\n"
    "end\n"
    "if ARGV[6] == '1' then forget_streams(id) end\n"
    "local had = tonumber(redis.call('ZSCORE', KEYS[1], id) or '0') > now and redis.call('HEXISTS', KEYS[2], id) == 1\n"
    "redis.call('ZADD', KEYS[1], now + lease, id)\n"
    "if ARGV[4] ~= '0' or not had then\n"
    "  if redis.call('EXISTS', KEYS[5]) == 0 then redis.call('SET', KEYS[5], string.format('%.0f', now * 1000)) end\n"
    "  local version = redis.call('INCR', KEYS[5])\n"
    "  redis.call('HSET', KEYS[2], id, ARGV[2])\n"
    "  redis.call('ZADD', KEYS[4], version, id)\n"
    "  if ARGV[4] == '2' or not had then redis.call('ZADD', KEYS[3], version, id) end\n"
    "end\n"
    "if ARGV[5] == '1' or not had then tell(prefix, 'node ' .. id) end\n"
    "for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do\n"
    "  if redis.call('HDEL', KEYS[2], dead) == 1 then\n"
    "    redis.call('ZREM', KEYS[3], dead)\n"
    "    redis.call('ZREM', KEYS[4], dead)\n"
    "    tell(prefix, 'node-gone ' .. dead)\n"
    "  elseif tonumber(redis.call('ZSCORE', KEYS[1], dead)) < now - lease then\n"
    "    forget_streams(dead)\n"
    "    redis.call('ZREM', KEYS[1], dead)\n"
    "  end\n"
    "end\n"
    "local ids = redis.call('ZRANGEBYSCORE', KEYS[6], '(' .. ARGV[7], '+inf', 'LIMIT', 0, ARGV[8])\n"
    "local records, version = {}, ARGV[7]\n"
    "if #ids > 0 then\n"
    "  records = redis.call('HMGET', KEYS[2], unpack(ids))\n"
    "  version = redis.call('ZSCORE', KEYS[6], ids[#ids])\n"
    "end\n"
    "return {had and 1 or 0, version, redis.call('HLEN', KEYS[2]), records, spread(prefix)}\n";

/* KEYS: alive, records, changes, loads. ARGV: id, prefix. The node ends; its claims have been released. Nobody waits to publish what is left,
 * so all of it goes now. */
static const char script_leave[] =
    SCRIPT_NEWS
    "redis.call('ZREM', KEYS[1], ARGV[1])\n"
    "redis.call('HDEL', KEYS[2], ARGV[1])\n"
    "redis.call('ZREM', KEYS[3], ARGV[1])\n"
    "redis.call('ZREM', KEYS[4], ARGV[1])\n"
    "tell(ARGV[2], 'node-gone ' .. ARGV[1])\n"
    "redis.call('DEL', ARGV[2] .. 'told')\n"
    "spread(ARGV[2])\n";

/* KEYS: stream, epoch, alive. ARGV: owner, proposed epoch, lease ms, takeover 0/1, prefix, name, ms to remember the epoch.
 * An owner renews every third of its lease. One of whose lease less than half is left has missed a beat, so it has died, or
 * hangs: who asks has the name now, and the old owner, should it wake up, finds a higher epoch.
 * Returns {1, owner, epoch}, or {0, present owner, its epoch}. */
static const char script_claim[] =
    SCRIPT_NOW SCRIPT_NEWS
    "local has = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'lease')\n"
    "local owner = has[1]\n"
    "if owner and owner ~= ARGV[1] then\n"
    "  local left = tonumber(redis.call('ZSCORE', KEYS[3], owner) or '0') - now\n"
    "  if ARGV[4] == '0' and left * 2 >= tonumber(has[3] or '0') then return {0, owner, has[2]} end\n"
    "  redis.call('HDEL', ARGV[5] .. 'owned:' .. owner, ARGV[6])\n"
    "end\n"
    "local last = tonumber(redis.call('GET', KEYS[2]) or '0')\n"
    "local epoch = string.format('%.0f', math.max(last + 1, tonumber(ARGV[2])))\n"
    "redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', epoch, 'lease', ARGV[3])\n"
    "redis.call('HSET', ARGV[5] .. 'owned:' .. ARGV[1], ARGV[6], epoch)\n"
    "redis.call('SET', KEYS[2], epoch, 'PX', ARGV[7])\n"
    "tell(ARGV[5], 'stream ' .. ARGV[6] .. ' ' .. ARGV[1] .. ' ' .. epoch)\n"
    "spread(ARGV[5])\n"
    "return {1, ARGV[1], epoch}\n";

/* KEYS: owned. ARGV: owner, lease ms, prefix, ms to remember epochs, announce 0/1, then name and epoch, name and epoch ...
 * Each claim is looked at: put back when Redis lost it; lost itself when a higher epoch has been.
 * Returns the lost ones: name, owner or '', epoch, name ... */
static const char script_register[] =
    SCRIPT_NEWS
    "local lost, prefix = {}, ARGV[3]\n"
    "for i = 6, #ARGV, 2 do\n"
    "  local name, epoch = ARGV[i], ARGV[i + 1]\n"
    "  local key = prefix .. 'stream:' .. name\n"
    "  local has = redis.pcall('HMGET', key, 'owner', 'epoch')\n"
    "  local same = has[1] == ARGV[1] and has[2] == epoch\n"
    "  local last = math.max(tonumber(redis.call('GET', prefix .. 'epoch:' .. name) or '0'), tonumber(has[2] or '0'))\n"
    "  if not same and last > tonumber(epoch) then\n"
    "    if has[1] ~= ARGV[1] then redis.call('HDEL', KEYS[1], name) end\n"
    "    lost[#lost + 1] = name\n"
    "    lost[#lost + 1] = has[1] or ''\n"
    "    lost[#lost + 1] = string.format('%.0f', last)\n"
    "  elseif not has.err then\n"
    "    if not same then redis.call('HSET', key, 'owner', ARGV[1], 'epoch', epoch, 'lease', ARGV[2]) end\n"
    "    redis.call('HSET', KEYS[1], name, epoch)\n"
    "    redis.call('SET', prefix .. 'epoch:' .. name, epoch, 'PX', ARGV[4])\n"
    "    if not same or ARGV[5] == '1' then\n"
    "      tell(prefix, 'stream ' .. name .. ' ' .. ARGV[1] .. ' ' .. epoch)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "spread(prefix)\n"
    "return lost\n";

/* KEYS: stream, owned. ARGV: owner, epoch, prefix, name. Returns 1, or 0 when it was not ours any more. */
static const char script_release[] =
    SCRIPT_NEWS
    "local has = redis.call('HMGET', KEYS[1], 'owner', 'epoch')\n"
    "if has[1] ~= ARGV[1] or has[2] ~= ARGV[2] then return 0 end\n"
    "redis.call('DEL', KEYS[1])\n"
    "redis.call('HDEL', KEYS[2], ARGV[4])\n"
    "tell(ARGV[3], 'gone ' .. ARGV[4])\n"
    "spread(ARGV[3])\n"
    "return 1\n";

/* KEYS: alive. ARGV: id. Whether its lease has not run out. */
static const char script_alive[] = SCRIPT_NOW "return tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0') > now and 1 or 0\n";

/* KEYS: viewers of a stream. ARGV: id, unix ms. Returns how many other nodes say that they have, and forgets those that have fallen silent. */
static const char script_viewers[] =
    "local sum = 0\n"
    "local all = redis.call('HGETALL', KEYS[1])\n"
    "for i = 1, #all, 2 do\n"
    "  local count, till = string.match(all[i + 1], '^(%d+) (%d+)$')\n"
    "  if not till or tonumber(till) < tonumber(ARGV[2]) then\n"
    "    redis.call('HDEL', KEYS[1], all[i])\n"
    "  elseif all[i] ~= ARGV[1] then\n"
    "    sum = sum + tonumber(count)\n"
    "  end\n"
    "end\n"
    "return sum\n";
