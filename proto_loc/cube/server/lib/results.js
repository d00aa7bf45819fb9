'use strict';
/**
 * Turns a driver's rows into Cube's answer: a replacement in JavaScript for the part of Cube's native addon that every
 * REST and GraphQL answer needs. Up to release 1.1, Cube itself did this in JavaScript; tests/cube compares the answers
 * with those of that release, and with those of the addon if it is installed.
 */

const LEVELS = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'];
const TIME = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:\s*(?:Z|UTC|[+-]\d{2}(?::?\d{2})?))?$/;

const level = (granularity) => (LEVELS.indexOf(granularity) + 1) || LEVELS.length + 1; // a custom granularity comes last

/** Write a time with milliseconds and without a zone; other values stay as they are. */
function formatted(value, type) {
  if (type !== 'time' || typeof value !== 'string') return value;
  const parts = TIME.exec(value);
  return parts ? `${parts[1]}T${parts[2]}.${(parts[3] || '').padEnd(3, '0').slice(0, 3)}` : value;
}

function assertVisible(member, annotation) {
  if (annotation[member]) return;
  throw new Error(
    `You requested hidden member: '${member}'. Please make it visible using \`public: true\`. Please note primaryKey `
    + 'fields are `public: false` by default: '
    + 'https://cube.dev/docs/schema/reference/joins#setting-a-primary-key.',
  );
}

/** Check the members of the query, because an empty result names no columns. */
function assertQueryVisible(query, annotation) {
  const named = [...(query.measures || []), ...(query.dimensions || [])].map((member) => member?.name || member);
  const times = (query.timeDimensions || []).filter((time) => time.granularity).map((time) => time.dimension);
  for (const member of [...named, ...times]) if (typeof member === 'string') assertVisible(member, annotation);
}

function timeDimension(query, kind) {
  const [time] = query.timeDimensions || [];
  if (!time) throw new Error(`QueryTimeDimension should be specified for the ${kind} query.`);
  return time;
}

/**
 * Add the column that distinguishes the queries of a comparison or a blend.
 *
 * @param {Map<string, unknown[]>} columns
 */
function addOfKind(columns, { query, queryType }, rows) {
  if (queryType === 'compareDateRangeQuery') {
    const { dateRange } = timeDimension(query, 'compare date range');
    if (!Array.isArray(dateRange)) {
      throw new Error('Inconsistent QueryTimeDimension configuration for the compare date range query, dateRange required.');
    }
    columns.set('compareDateRange', new Array(rows).fill(dateRange.join(' - ')));
  } else if (queryType === 'blendingQuery') {
    const time = timeDimension(query, 'blending');
    if (!time.granularity) {
      throw new Error('Inconsistent QueryTimeDimension configuration for the blending query, granularity required.');
    }
    const values = columns.get(`${time.dimension}.${time.granularity}`);
    if (values) columns.set(`time.${time.granularity}`, values);
  }
}

/**
 * Make the columns of the answer, by member, in their order.
 *
 * @param {{aliasToMemberNameMap: Record<string, string>, annotation: Record<string, {type: string}>, query: object,
 *   queryType: string}} request
 * @param {{members: string[], columns: unknown[][]}} raw The driver's columns, by alias.
 * @returns {Map<string, unknown[]>}
 */
function columnsOf(request, raw) {
  const { aliasToMemberNameMap, annotation, query } = request;
  const columns = new Map();
  if (!raw.members.length) {
    assertQueryVisible(query, annotation);
    return columns;
  }
  const finest = new Map(); // the finest granularity of each time dimension
  raw.members.forEach((alias, at) => {
    const member = aliasToMemberNameMap[alias];
    if (!member) throw new Error(`Member name not found for alias: '${alias}'`);
    assertVisible(member, annotation);
    const values = raw.columns[at].map((value) => formatted(value, annotation[member].type));
    columns.set(member, values);
    const [cube, name, granularity, ...more] = member.split('.');
    const base = `${cube}.${name}`;
    if (!granularity || more.length || (query.dimensions || []).includes(base)) return;
    if (!finest.has(base) || level(granularity) <= finest.get(base).level) {
      finest.set(base, { level: level(granularity), values });
    }
  });
  // Cube still returns a time dimension without its granularity, though that is deprecated.
  for (const [base, { values }] of finest) columns.set(base, values);
  addOfKind(columns, request, raw.columns[0].length);
  return columns;
}

/** Make `data` of an answer, in the form that the request asks for. */
function shaped(request, buffer) {
  if (!Buffer.isBuffer(buffer)) throw new Error('Results of Cube Store cannot be read without the native addon.');
  const columns = columnsOf(request, JSON.parse(buffer.toString('utf8')));
  const members = [...columns.keys()];
  const values = [...columns.values()];
  if (request.resType === 'columnar') return { members, columns: values };
  const rows = values.length ? values[0].length : 0;
  const dataset = new Array(rows);
  for (let row = 0; row < rows; row += 1) {
    if (request.resType === 'compact') dataset[row] = values.map((column) => column[row]);
    else {
      const made = {};
      for (let at = 0; at < members.length; at += 1) made[members[at]] = values[at][row];
      dataset[row] = made;
    }
  }
  return request.resType === 'compact' ? { members, dataset } : dataset;
}

const QUERY_FIELDS = [
  'measures', 'dimensions', 'timeDimensions', 'segments', 'limit', 'offset', 'total', 'totalQuery', 'timezone',
  'renewQuery', 'ungrouped', 'responseFormat', 'filters', 'rowLimit', 'order', 'queryType',
]; // the fields of a normalized query that the addon returns

const known = (given) => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null && value !== undefined));
const envelope = (root) => ({ ...known(root), query: known(Object.fromEntries(QUERY_FIELDS.map((name) => [name, root.query?.[name]]))) });
const bytes = (answer) => new TextEncoder().encode(JSON.stringify(answer)).buffer;

/** The same as `getPivotQuery` of api-gateway, for the queries as they are returned. */
function pivotQuery(queryType, queries) {
  const pivot = { ...queries[0] };
  const union = (name) => [...new Set(queries.flatMap((query) => query[name] || []))];
  if (queryType === 'blendingQuery') {
    pivot.measures = union('measures');
    pivot.dimensions = union('dimensions');
    const granularity = queries.map((query) => query.timeDimensions?.[0]?.granularity).find(Boolean);
    if (granularity) pivot.timeDimensions = [{ dimension: 'time', granularity }];
  } else if (queryType === 'compareDateRangeQuery') {
    pivot.dimensions = ['compareDateRange', ...(pivot.dimensions || [])];
  }
  pivot.queryType = queryType;
  return pivot;
}

/** The answer to one query, as the bytes that go to the client. */
async function getFinalQueryResult(request, raw, root) {
  return bytes({ ...envelope(root), data: shaped(request, raw) });
}

/** The answer to several queries at once: a blend, or a comparison of date ranges. */
async function getFinalQueryResultMulti(requests, raws, { queryType, results, slowQuery }) {
  const answers = results.map((root, at) => ({ ...envelope(root), data: shaped(requests[at], raws[at]) }));
  return bytes({ queryType, results: answers, pivotQuery: pivotQuery(queryType, answers.map(({ query }) => query)), slowQuery });
}

module.exports = { getFinalQueryResult, getFinalQueryResultMulti };
