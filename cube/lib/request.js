'use strict';
/** What a request holds, before Cube reads it: what is no query is refused here, in a sentence. */
const express = require('express');

const LISTS = ['measures', 'dimensions', 'segments', 'timeDimensions', 'filters'];
const DEEPEST = 60; // levels; Cube walks a query by recursion

/**
 * @param {import('./settings').Settings} settings
 * @returns {import('express').RequestHandler[]}
 */
function readable(settings) {
  return [express.json({ limit: '1mb' }), unread, checked(settings.rows)];
}

// eslint-disable-next-line no-unused-vars
function unread(error, req, res, next) {
  const status = error.status >= 400 && error.status < 500 ? error.status : 400;
  res.status(status).json({ error: status === 413 ? 'The request is longer than 1 MB.' : 'The request is not valid JSON.' });
}

const checked = (rows) => (req, res, next) => {
  let given = req.body?.query ?? req.query.query;
  if (req.path.endsWith('/graphql') || given === undefined) return next();
  try {
    if (typeof given === 'string') given = JSON.parse(given);
  } catch {
    return res.status(400).json({ error: 'The query is not valid JSON.' });
  }
  const wrong = [given].flat().map((query) => problem(query, rows)).find(Boolean);
  return wrong ? res.status(400).json({ error: wrong }) : next();
};

/** What is wrong with the form of a query; undefined if nothing is. */
function problem(query, rows) {
  if (depth(query) > DEEPEST) return `The query is nested more than ${DEEPEST} levels deep.`;
  if (typeof query !== 'object' || query === null || Array.isArray(query)) return 'A query is an object, or a list of some.';
  const name = LISTS.find((list) => query[list] !== undefined && !Array.isArray(query[list]));
  if (name) return `${name} of a query is a list.`;
  const { limit = 1 } = query;
  return Number.isInteger(limit) && limit >= 1 && limit <= rows ? undefined : `limit of a query is a whole number from 1 to ${rows} (LOC_CUBE_ROWS).`;
}

function depth(value) {
  let level = 0;
  for (let values = [value]; values.length && level <= DEEPEST + 1; level += 1) {
    values = values.filter((each) => typeof each === 'object' && each !== null).flatMap(Object.values);
  }
  return level - 1;
}

module.exports = { readable };
