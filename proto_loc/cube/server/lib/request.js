'use strict';
/** Checks a request before Cube reads it, and refuses an invalid one with a clear message. */
const { createRequire } = require('module');
const { GraphQLFloat, parse } = createRequire(require.resolve('@cubejs-backend/api-gateway'))('graphql');

const LISTS = ['measures', 'dimensions', 'segments', 'timeDimensions', 'filters'];
const DEEPEST = 60; // levels; Cube walks a query by recursion
const QUERIES = 4; // per request, because their results are in memory at the same time
const TOO_MANY = `A request may hold ${QUERIES} queries.`;
const FILTERS = 1000;
const VALUES = 10000;
const MEMBER = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,3}$/;
const EXPRESSIONS = ['subqueryJoins', 'joinHints'];

const ROUNDED = 'A number above 2^53 is rounded as it is read from JSON: write it in quotes, as text (in GraphQL, in the query itself).';

/** Whether JSON may have rounded a number among these values. */
const rounded = (values) => values.some((value) => Number.isInteger(value) && !Number.isSafeInteger(value));

/** GraphQL's Float is a double: a figure that a double cannot represent is refused instead of rounded. */
const { serialize } = GraphQLFloat;
GraphQLFloat.serialize = (value) => {
  const number = serialize(value);
  const digits = /^-?\d+(\.\d+)?$/.test(value) ? String(value).replace(/[-.]/g, '').replace(/^0+|0+$/g, '') : '';
  if (digits.length > 15 && String(number) !== String(value)) {
    throw new Error(`${value} has more digits than GraphQL's Float holds: ask by REST, which gives it as text.`);
  }
  return number;
};

/**
 * @param {number} rows The maximum limit of a query.
 * @returns {import('express').RequestHandler}
 */
const checked = (rows) => (req, res, next) => {
  const wrong = req.path.toLowerCase().includes('/graphql') ? wrongGraphQL(req) : wrongQueries(asked(req), rows);
  return wrong ? res.status(400).json({ error: wrong }) : next();
};

/** The query as Cube reads it: from the URL of a GET, otherwise from the body. */
function asked(req) {
  const given = req.method === 'POST' ? req.body?.query : req.query.query; // HEAD is read as GET
  if (typeof given !== 'string') return given;
  try {
    return JSON.parse(given);
  } catch {
    return undefined; // SQL for the SQL API; otherwise Cube reports invalid JSON
  }
}

function wrongQueries(given, rows) {
  if (given === undefined) return undefined;
  const queries = [given].flat();
  const ranges = queries.flatMap((query) => query?.timeDimensions || []).flatMap((each) => each?.compareDateRange || []);
  if (queries.length > QUERIES || ranges.length > QUERIES) return TOO_MANY;
  return queries.map((query) => problem(query, rows)).find(Boolean);
}

function wrongGraphQL(req) {
  let given = [req.body?.variables, req.query.variables];
  try {
    given = given.map((each) => (typeof each === 'string' ? JSON.parse(each) : each));
  } catch {
    return 'The variables are not valid JSON.';
  }
  if (depth(given) > DEEPEST) return `The variables are nested more than ${DEEPEST} levels deep.`;
  const leaves = (value) => (typeof value === 'object' && value !== null ? Object.values(value).flatMap(leaves) : [value]);
  return rounded(leaves(given)) ? ROUNDED : tooManyFields(req);
}

/** Refuse too many root fields of a GraphQL request, as each is a query. */
function tooManyFields(req) {
  let document;
  try {
    document = parse(req.query.query ?? req.body?.query); // as express-graphql reads it
  } catch {
    return undefined; // Cube reports the syntax error when it runs the query
  }
  const fragments = new Map(document.definitions.filter((each) => each.kind === 'FragmentDefinition').map((each) => [each.name.value, each]));
  const counts = new Map(); // by fragment; counted once, because nested ones would double the work at every level
  const fields = (node) => (node?.selectionSet?.selections || []).reduce((sum, each) => {
    if (each.kind === 'Field') return sum + 1;
    if (each.kind === 'InlineFragment') return sum + fields(each);
    const { value } = each.name;
    if (!counts.has(value)) {
      counts.set(value, 0); // for a fragment that contains itself, which GraphQL refuses
      counts.set(value, fields(fragments.get(value)));
    }
    return sum + counts.get(value);
  }, 0);
  const most = Math.max(0, ...document.definitions.filter((each) => each.kind === 'OperationDefinition').map(fields));
  return most > QUERIES ? TOO_MANY : undefined;
}

/** The error in the form of a query; undefined if it is valid. */
function problem(query, rows) {
  if (depth(query) > DEEPEST) return `The query is nested more than ${DEEPEST} levels deep.`;
  if (typeof query !== 'object' || query === null || Array.isArray(query)) return 'A query is an object, or a list of some.';
  const name = LISTS.find((list) => query[list] !== undefined && !Array.isArray(query[list]));
  if (name) return `${name} of a query is a list.`;
  const { limit = 1 } = query;
  if (!Number.isInteger(limit) || limit < 1 || limit > rows) return `limit of a query is a whole number from 1 to ${rows} (LOC_CUBE_ROWS).`;
  return strange(query);
}

/**
 * The error if a query, of any API, has more than names of members and values; otherwise undefined. Cube also accepts
 * expressions there, which contain SQL of the client.
 */
function strange(query) {
  const parts = [];
  const visit = (filter) => {
    if (Array.isArray(filter?.and) || Array.isArray(filter?.or)) [filter.and, filter.or].flat().filter(Boolean).forEach(visit);
    else parts.push(filter);
  };
  (query.filters || []).forEach(visit);
  if (parts.length > FILTERS) return `A query may have ${FILTERS} filters.`;
  if (parts.reduce((sum, each) => sum + (each?.values?.length || 0), 0) > VALUES) return `The filters of a query may have ${VALUES} values.`;
  if (rounded(parts.flatMap((each) => each?.values || []))) return ROUNDED;
  const names = [
    ...LISTS.slice(0, 3).flatMap((list) => query[list] || []),
    ...(query.timeDimensions || []).map((each) => each?.dimension),
    ...parts.map((each) => each?.member ?? each?.dimension),
    ...(Array.isArray(query.order) ? query.order.map((each) => (Array.isArray(each) ? each[0] : each?.id)) : Object.keys(query.order || {})),
  ];
  const odd = names.find((name) => typeof name !== 'string' || !MEMBER.test(name));
  if (odd !== undefined || names.includes(undefined)) return `${typeof odd === 'string' ? JSON.stringify(odd) : 'An expression'} is not the name of a member.`;
  const grain = (query.timeDimensions || []).map((each) => each.granularity).find((each) => each && !/^\w+$/.test(each));
  if (grain) return `${JSON.stringify(grain)} is not a granularity.`;
  return EXPRESSIONS.find((field) => query[field] && query[field].length !== 0) && 'Joins to SQL of your own are not offered.';
}

function depth(value) {
  let level = 0;
  for (let values = [value]; values.length && level <= DEEPEST + 1; level += 1) {
    values = values.filter((each) => typeof each === 'object' && each !== null).flatMap(Object.values);
  }
  return level - 1;
}

module.exports = { checked, strange };
