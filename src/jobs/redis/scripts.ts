/**
 * @file Every change of a job's record, each one script that Redis runs whole: whatever process dies between two of
 * them, a record is never half changed, and of two that would end a job only the first does.
 *
 * Keys, all below a prefix P (on one Redis: a Cluster would need them in one slot):
 *   P:job:ID            hash: the record           P:waiting, P:waiting:MODEL  sorted by number: waiting jobs
 *   P:job:ID:input      hash: image, mask          P:running                   sorted by number: running jobs
 *   P:job:ID:images     hash: index -> what it is  P:jobs                      sorted by time: all that are remembered
 *   P:job:ID:file:N     an image's file           P:worker:ID                 is there while that worker lives
 *   P:job:ID:log        stream: states and images  P:workers:MODEL             sorted by time: who lives, by model
 *   P:job:ID:preview    the last message with one  P:models, P:models:seen     what workers can generate
 *   P:number            counts jobs                P:shared:NAME               what servers have in common
 * Channels: P:job:ID:live (its followers), P:moves:MODEL (positions changed), P:work:MODEL (a job may be taken),
 *   P:cancel (ids), P:ended (ids), P:models (a model came).
 */

import { createHash } from "node:crypto";

/** ARGV[1] is P, ARGV[2] the job's id. */
const shared = `
local P, id = ARGV[1], ARGV[2]
local J = P .. ':job:' .. id
local call = redis.call

local function field(name) return call('HGET', J, name) end
local function now()
  local t = call('TIME')
  return string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000))
end
local function isOver(state) return state == 'done' or state == 'failed' or state == 'cancelled' end
local function publish(message) call('PUBLISH', J .. ':live', message) end

-- A full Redis refuses a script whose first write needs memory; it allows all writes after a first one that can only
-- free memory. Scripts that jobs need in order to end begin with this.
local function evenIfFull() call('ZREM', P .. ':nothing', id) end

-- Writes the fields and notes the change for followers; as with HSET, names and values alternate.
local function change(...)
  call('HSET', J, ...)
  call('XADD', J .. ':log', '*', 'type', 'state', ...)
  publish('{"type":"log"}')
  call('PUBLISH', P .. ':moves:' .. field('model'), '')
end
local function unlist(model)
  call('ZREM', P .. ':waiting', id)
  call('ZREM', P .. ':waiting:' .. model, id)
  call('ZREM', P .. ':running', id)
end
local function finish(state, failure, seconds)
  unlist(field('model'))
  call('DEL', J .. ':input', J .. ':preview')
  call('HDEL', J, 'scheduler', 'bytes')
  change('state', state, 'error', failure, 'secondsLeft', '', 'finishedAt', now(), 'owner', '',
    'stopped', field('stopped') or '')
  for _, index in ipairs(call('HKEYS', J .. ':images')) do call('EXPIRE', J .. ':file:' .. index, seconds) end
  for _, part in ipairs({'', ':images', ':log'}) do call('EXPIRE', J .. part, seconds) end
  call('PUBLISH', P .. ':ended', id)
end
-- What the owner may do: 'lost' when the job is another's or over.
local function check(owner)
  if field('owner') ~= owner or field('state') ~= 'running' then return 'lost' end
  if field('cancel') == '1' then return 'cancelled' end
  return 'go'
end
`;

export type Script = { lua: string; sha: string };

const script = (body: string): Script => {
  const lua = shared + body;
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
};

/**
 * most, mostBytes, model, total, settings, scheduler, previews, image, mask, warnings, api -> 'ok', or 'full' and
 * seconds left
 */
export const submit = script(`
local image, mask, model = ARGV[10], ARGV[11], ARGV[5]
local bytes = #image + #mask
local sum = bytes
local waiting = call('ZRANGE', P .. ':waiting', 0, -1)
for _, other in ipairs(waiting) do sum = sum + (tonumber(call('HGET', P .. ':job:' .. other, 'bytes')) or 0) end
if #waiting >= tonumber(ARGV[3]) or sum > tonumber(ARGV[4]) then
  local first = call('ZRANGE', P .. ':running', 0, 0)[1]
  return {'full', first and call('HGET', P .. ':job:' .. first, 'secondsLeft') or ''}
end
local number, time = call('INCR', P .. ':number'), now()
call('HSET', J, 'id', id, 'state', 'queued', 'model', model, 'number', number, 'owner', '', 'cancel', '0',
  'starts', 0, 'bytes', bytes, 'createdAt', time, 'startedAt', '', 'finishedAt', '', 'step', 0, 'total', ARGV[6],
  'secondsLeft', '', 'settings', ARGV[7], 'scheduler', ARGV[8], 'previews', ARGV[9], 'warnings', ARGV[12],
  'error', '', 'api', ARGV[13], 'stopped', '')
if image ~= '' then call('HSET', J .. ':input', 'image', image) end
if mask ~= '' then call('HSET', J .. ':input', 'mask', mask) end
call('ZADD', P .. ':waiting', number, id)
call('ZADD', P .. ':waiting:' .. model, number, id)
call('ZADD', P .. ':jobs', time, id)
return {'ok'}`);

/** -> nothing for an unknown job, else its record, images, rank among those waiting, last entry of the log */
export const read = script(`
local record = call('HGETALL', J)
if #record == 0 then return {} end
local last = call('XREVRANGE', J .. ':log', '+', '-', 'COUNT', 1)[1]
local rank = call('ZRANK', P .. ':waiting:' .. field('model'), id)
return {record, call('HVALS', J .. ':images'), rank or -1, last and last[1] or '0'}`);

/** owner, most starts, the failure beyond, seconds to keep -> 'go', or 'over' when there is nothing to generate */
export const begin = script(`
local state = field('state')
if not state or isOver(state) then return 'over' end
evenIfFull()
if field('cancel') == '1' then finish('cancelled', '', ARGV[6]) return 'over' end
if call('HINCRBY', J, 'starts', 1) > tonumber(ARGV[4]) then finish('failed', ARGV[5], ARGV[6]) return 'over' end
unlist(field('model'))
call('ZADD', P .. ':running', field('number'), id)
change('state', 'running', 'owner', ARGV[3], 'startedAt', now(), 'step', 0, 'secondsLeft', '')
return 'go'`);

/** owner, the message for followers, then step, total, secondsLeft, or nothing if it is a preview -> check */
export const report = script(`
local may = check(ARGV[3])
if may ~= 'go' then return may end
evenIfFull()
if ARGV[5] then call('HSET', J, 'step', ARGV[5], 'total', ARGV[6], 'secondsLeft', ARGV[7])
else call('SET', J .. ':preview', ARGV[4]) end
publish(ARGV[4])
return may`);

/** owner, index, description, bytes -> check. An image that is generated again changes nothing. */
export const image = script(`
local may = check(ARGV[3])
if may ~= 'go' then return may end
if call('HSETNX', J .. ':images', ARGV[4], ARGV[5]) == 1 then
  call('SET', J .. ':file:' .. ARGV[4], ARGV[6])
  call('XADD', J .. ':log', '*', 'type', 'image', 'image', ARGV[5])
  publish('{"type":"log"}')
end
return may`);

/** owner, state, failure, seconds to keep -> check. What was cancelled while its last step ran is cancelled. */
export const end = script(`
local may = check(ARGV[3])
if may == 'go' then finish(ARGV[4], ARGV[5], ARGV[6]) end
if may == 'cancelled' then finish('cancelled', '', ARGV[6]) end
return may`);

/** owner, how many starts to take back, seconds to keep -> check. Puts a job back where it waited. */
export const release = script(`
local may = check(ARGV[3])
if may == 'cancelled' then finish('cancelled', '', ARGV[5]) end
if may ~= 'go' then return may end
evenIfFull()
local model, number = field('model'), field('number')
unlist(model)
call('ZADD', P .. ':waiting', number, id)
call('ZADD', P .. ':waiting:' .. model, number, id)
call('HINCRBY', J, 'starts', 0 - ARGV[4])
change('state', 'queued', 'owner', '', 'startedAt', '', 'step', 0, 'secondsLeft', '')
return may`);

/** seconds to keep, how -> 'gone', 'over' if it need not be taken, 'running' when its worker was notified */
export const cancel = script(`
local state = field('state')
if not state then return 'gone' end
if isOver(state) then return 'over' end
evenIfFull()
call('HSET', J, 'cancel', '1', 'stopped', ARGV[4])
if state == 'queued' then finish('cancelled', '', ARGV[3]) return 'over' end
call('PUBLISH', P .. ':cancel', id)
return 'running'`);

/** seconds to keep. Ends a cancelled job whose worker is dead. */
export const bury = script(`
if field('state') ~= 'running' or field('cancel') ~= '1' then return end
local worker = string.match(field('owner'), '^[^/]+')
if call('EXISTS', P .. ':worker:' .. worker) == 0 then finish('cancelled', '', ARGV[3]) end`);

/**
 * seconds for which an ended job is kept, most to drop -> how many were dropped. Makes room in a full Redis: the jobs
 * that were submitted first go first. The id is not read.
 */
export const drop = script(`
local dropped, before = 0, now() - ARGV[3] * 1000
for _, other in ipairs(call('ZRANGE', P .. ':jobs', 0, -1)) do
  local K = P .. ':job:' .. other
  local finished = tonumber(call('HGET', K, 'finishedAt') or '')
  if finished and finished < before then
    for _, index in ipairs(call('HKEYS', K .. ':images')) do call('DEL', K .. ':file:' .. index) end
    call('DEL', K, K .. ':images', K .. ':log')
    call('ZREM', P .. ':jobs', other)
    dropped = dropped + 1
    if dropped == tonumber(ARGV[4]) then return dropped end
  end
end
return dropped`);

/** seconds to keep. Drops from the lists a job whose record is gone. */
export const forget = script(`
if call('EXISTS', J) == 1 then return end
call('ZREM', P .. ':jobs', id)
call('ZREM', P .. ':waiting', id)
call('ZREM', P .. ':running', id)`);
