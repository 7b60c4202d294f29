/* SPDX-License-Identifier: Apache-2.0
 * scripts.h - the Lua that compares and writes in one step.
 *
 * KEYS: 1 the stream's hash {owner, epoch, lease in ms}, 2 the highest epoch it ever had, 3 the set of all streams' names.
 * Epochs are below 2^53, so Lua's numbers hold them exactly. */
#pragma once

/* ARGV: owner, proposed epoch, lease ms, takeover 0/1, channel, name, ms to remember the epoch.
 * An owner renews every third of its lease. One of whose lease less than half is left has missed a beat, so it has died, or
 * hangs: who asks has the name now, and the old owner, should it wake up, finds a higher epoch.
 * Returns {1, owner, epoch}, or {0, present owner, its epoch}. */
static const char script_claim[] =
    "local owner = redis.call('HGET', KEYS[1], 'owner')\n"
    "local lease = tonumber(redis.call('HGET', KEYS[1], 'lease') or '0')\n"
    "local silent = lease > 0 and redis.call('PTTL', KEYS[1]) * 2 < lease\n"
    "if owner and owner ~= ARGV[1] and ARGV[4] == '0' and not silent then\n"
    "  return {0, owner, redis.call('HGET', KEYS[1], 'epoch')}\n"
    "end\n"
    "local last = tonumber(redis.call('GET', KEYS[2]) or '0')\n"
    "local epoch = string.format('%.0f', math.max(last + 1, tonumber(ARGV[2])))\n"
    "redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', epoch, 'lease', ARGV[3])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
    "redis.call('SET', KEYS[2], epoch, 'PX', ARGV[7])\n"
    "redis.call('SADD', KEYS[3], ARGV[6])\n"
    "redis.call('PUBLISH', ARGV[5], 'stream ' .. ARGV[6] .. ' ' .. ARGV[1] .. ' ' .. epoch)\n"
    "return {1, ARGV[1], epoch}\n";

/* ARGV: owner, epoch, lease ms, channel, name, ms to remember the epoch.
 * Returns {1, owner, epoch}: the lease runs on, or was put back after Redis lost it; {0, owner or '', epoch}: a higher
 * epoch has been, so the claim is lost. */
static const char script_renew[] =
    "local owner = redis.call('HGET', KEYS[1], 'owner')\n"
    "local epoch = redis.call('HGET', KEYS[1], 'epoch')\n"
    "if owner == ARGV[1] and epoch == ARGV[2] then\n"
    "  redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
    "  redis.call('PEXPIRE', KEYS[2], ARGV[6])\n"
    "  return {1, owner, epoch}\n"
    "end\n"
    "local last = tonumber(redis.call('GET', KEYS[2]) or '0')\n"
    "if math.max(last, tonumber(epoch or '0')) > tonumber(ARGV[2]) then\n"
    "  return {0, owner or '', epoch or '0'}\n"
    "end\n"
    "redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', ARGV[2], 'lease', ARGV[3])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
    "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[6])\n"
    "redis.call('SADD', KEYS[3], ARGV[5])\n"
    "redis.call('PUBLISH', ARGV[4], 'stream ' .. ARGV[5] .. ' ' .. ARGV[1] .. ' ' .. ARGV[2])\n"
    "return {1, ARGV[1], ARGV[2]}\n";

/* ARGV: owner, epoch, channel, name. Returns 1, or 0 when it was not ours any more. */
static const char script_release[] =
    "if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2] then\n"
    "  return 0\n"
    "end\n"
    "redis.call('DEL', KEYS[1])\n"
    "redis.call('SREM', KEYS[3], ARGV[4])\n"
    "redis.call('PUBLISH', ARGV[3], 'gone ' .. ARGV[4])\n"
    "return 1\n";
