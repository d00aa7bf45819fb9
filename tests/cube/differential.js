'use strict';
/**
 * The stand-in against what it stands in for, over generated answers of a driver:
 *
 *   node differential.js ORACLE COUNT SEED
 *
 * ORACLE is the folder of the last release of api-gateway that shaped answers in JavaScript. Where the addon can be
 * loaded, it is held against that as well, whole answers and their bytes. Prints what it compared, as JSON; fails on the
 * first difference with all that makes it.
 */
const assert = require('assert');
const path = require('path');

const [oracle, count, seed] = process.argv.slice(2);
const cube = path.join(__dirname, '../../proto_loc/cube/server');
const inCube = require('module').createRequire(path.join(cube, 'server.js'));
const { transformData } = require(path.join(oracle, 'dist/src/helpers/transformData.js'));
const { getPivotQuery } = inCube('@cubejs-backend/api-gateway/dist/src/query');
const { rowsToColumnarBuffer } = inCube('@cubejs-backend/native/dist/js/ResultWrapper.js');
const standIn = inCube('./lib/results');
const native = inCube('@cubejs-backend/native');

let addon = null;
try {
  addon = native.loadNative();
} catch {
  // it is not installed: said in what is printed
}

let state = Number(seed);
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};
const one = (list) => list[random(list.length)];
const GRANULARITIES = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year', 'fortnight'];
const RANGE = ['2025-01-01T00:00:00.000', '2025-01-31T23:59:59.999'];

function time() {
  const two = (below) => String(1 + random(below)).padStart(2, '0');
  const day = `${one(['1969', '2024', '2025'])}-${two(12)}-${two(28)}`;
  const clock = `${two(23)}:${two(58)}:${two(58)}`;
  return one([`${day}T${clock}.${random(1000).toString().padStart(3, '0')}`, `${day}T${clock}.000Z`, `${day} ${clock}`,
    `${day}T00:00:00Z`, `${day}T${clock}.1Z`, `${day}T${clock}.123456`]);
}
const value = {
  string: () => one(['', 'Queens', 'ünï', '"', "it's", '\\', '2025-01-01T00:00:00.000', 'null', '\u2028', '😀']),
  number: () => one([String(random(1e9)), '0', '-1.5', '0.1', '12345678901234567890', 7, 0, 1.25]),
  boolean: () => one([true, false]),
  time,
};

/** One request and the rows of its driver. */
function generate() {
  const annotation = {};
  const aliasToMemberNameMap = {};
  const columns = [];
  const query = { measures: [], dimensions: [], timeDimensions: [], segments: [], limit: 10000, timezone: 'UTC',
    filters: [], rowLimit: 10000, order: [] };
  const add = (alias, member, type) => {
    annotation[member] = { type };
    aliasToMemberNameMap[alias] = member;
    columns.push([alias, type]);
  };
  for (let at = random(3); at > 0; at -= 1) {
    query.dimensions.push(`c.d${at}`);
    add(`c__d${at}`, `c.d${at}`, one(Object.keys(value)));
  }
  const queryType = one(['regularQuery', 'regularQuery', 'compareDateRangeQuery', 'blendingQuery']);
  if (queryType !== 'regularQuery' || random(2)) {
    const granularity = one(GRANULARITIES);
    query.timeDimensions.push({ dimension: 'c.t', granularity, dateRange: RANGE });
    if (random(3) === 0) {
      query.dimensions.push('c.t');
      add('c__t', 'c.t', 'time');
    }
    annotation['c.t'] = { type: 'time' };
    add(`c__t_${granularity}`, `c.t.${granularity}`, 'time');
  }
  for (let at = random(4); at > 0 || !columns.length; at -= 1) {
    query.measures.push(`c.m${at}`);
    add(`c__m${at}`, `c.m${at}`, one(['number', 'number', 'number', 'time', 'string']));
  }
  columns.sort(() => random(3) - 1); // as an order or a rewrite has them
  if (random(25) === 0) delete annotation[aliasToMemberNameMap[columns[0][0]]];
  const rows = Array.from({ length: one([0, 1, 1, 2, 5, 20]) }, () => (
    Object.fromEntries(columns.map(([alias, type]) => [alias, random(6) ? value[type]() : null]))
  ));
  return { annotation, aliasToMemberNameMap, query, queryType, rows };
}

const plain = (data) => JSON.parse(JSON.stringify(data));
const read = (bytes) => JSON.parse(Buffer.from(bytes).toString('utf8'));
async function attempt(work) {
  try {
    return { answer: await work() };
  } catch (error) {
    return { refused: error };
  }
}

/** A compact answer as rows of objects: the order of members is no promise of its form. */
const asRows = (data) => data.dataset.map((row) => Object.fromEntries(data.members.map((name, at) => [name, row[at]])));

async function main() {
  const done = { addon: Boolean(addon), default: 0, compact: 0, columnar: 0, refused: 0, multi: 0, byAddon: 0 };
  for (let at = 0; at < Number(count); at += 1) {
    const { annotation, aliasToMemberNameMap, query, queryType, rows } = generate();
    const raw = rowsToColumnarBuffer(rows);
    const hidden = rows.length && columnsHidden(rows, aliasToMemberNameMap, annotation);
    for (const resType of ['default', 'compact', 'columnar']) {
      const request = { aliasToMemberNameMap, annotation, query, queryType, resType };
      const root = { query: { ...query, queryType }, annotation: {}, lastRefreshTime: null, total: null, slowQuery: false };
      const mine = await attempt(async () => read(await standIn.getFinalQueryResult(request, raw, root)));
      const context = () => JSON.stringify({ at, request, rows, mine: mine.answer, refused: String(mine.refused) }, null, 1);
      if (resType !== 'columnar') {
        const theirs = await attempt(() => plain(transformData(aliasToMemberNameMap, annotation, rows, query, queryType, resType)));
        assert.strictEqual(Boolean(mine.refused), Boolean(theirs.refused) || (!rows.length && Boolean(mine.refused)), context());
        if (!mine.refused && resType === 'default') assert.deepStrictEqual(mine.answer.data, theirs.answer, context());
        // A blend's own column was left as the driver gave it in this form, by their own note.
        if (!mine.refused && resType === 'compact' && queryType !== 'blendingQuery') {
          assert.deepStrictEqual(asRows(mine.answer.data), rows.length ? asRows(theirs.answer) : [], context());
        }
      } else if (!mine.refused) {
        const { members, columns } = mine.answer.data;
        const turned = rows.map((_, row) => Object.fromEntries(members.map((name, column) => [name, columns[column][row]])));
        const byRow = read(await standIn.getFinalQueryResult({ ...request, resType: 'default' }, raw, root)).data;
        assert.deepStrictEqual(turned, byRow, context());
      }
      if (addon) {
        const theirs = await attempt(async () => read(await addon.getFinalQueryResult(request, raw, root)));
        assert.strictEqual(Boolean(mine.refused), Boolean(theirs.refused), context());
        if (!mine.refused) assert.deepStrictEqual(mine.answer, theirs.answer, context());
        done.byAddon += 1;
      }
      done[mine.refused ? 'refused' : resType] += 1;
    }
    if (queryType !== 'regularQuery' && !hidden) {
      done.multi += await multi({ aliasToMemberNameMap, annotation, query, queryType, resType: 'default' }, raw);
    }
  }
  console.log(JSON.stringify(done));
}

const columnsHidden = (rows, names, annotation) => Object.keys(rows[0]).some((alias) => !annotation[names[alias]]);

/** Several results in one answer, whose pivot query Cube still makes in JavaScript for a dry run. */
async function multi(request, raw) {
  const roots = [0, 1].map(() => ({ query: { ...request.query, queryType: request.queryType }, annotation: {} }));
  const given = { queryType: request.queryType, results: roots, slowQuery: false };
  const mine = await attempt(async () => read(await standIn.getFinalQueryResultMulti([request, request], [raw, raw], given)));
  if (mine.refused) return 0; // an empty result with a hidden member
  const wanted = plain(getPivotQuery(request.queryType, plain(roots.map(({ query }) => query))));
  assert.deepStrictEqual(mine.answer.pivotQuery, request.queryType === 'blendingQuery' ? { ...mine.answer.pivotQuery, ...wanted } : wanted);
  assert.deepStrictEqual(mine.answer.results[0], read(await standIn.getFinalQueryResult(request, raw, roots[0])));
  if (addon) {
    assert.deepStrictEqual(mine.answer, read(await addon.getFinalQueryResultMulti([request, request], [raw, raw], given)));
  }
  return 1;
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
